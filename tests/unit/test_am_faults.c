/*
 * The migration engine against every single fault, against pairs of faults, and against random ones.
 *
 * A cell is one migration with one plan of faults. The call or the transaction at which a fault begins
 * is counted through all that there are, so that each of the twelve steps is met before its intent, after
 * it, with its answer lost, before its result is on disk and after that. Time is simulated: a wait takes
 * none. scripts/soak runs each suite alone and whole; without JOGAK_SOAK every STRIDE-th cell is taken.
 *   JOGAK_SEEDS=FROM-TO for engine-seeds: a seed replays the same.
 */
#include "am_story.h"
#include "tests/lib/sim_faults.h"

#include <stdlib.h>

#define STRIDE 5
#define CALLS_MAX 400

static struct faults *now_faults;
static pid_t parent;
static bool jumping; /* the wall clock does */

/* --- a clock on which waiting takes no time --- */
static int64_t virtual_us = 1000000000, wall_off_ms;

static int64_t virtual_now(void *ctx) { (void)ctx; return virtual_us += 50; }
static int64_t virtual_boot(void *ctx) { return virtual_now(ctx) / 1000; }
static void virtual_sleep(void *ctx, int64_t ms) { (void)ctx; virtual_us += ms * 1000; }
static int64_t virtual_wall(void *ctx) {
    if (jumping && virtual_us / 1000000 % 3 == 0) wall_off_ms = wall_off_ms ? 0 : -7200000;
    return 1700000000000 + virtual_now(ctx) / 1000 + wall_off_ms;
}
static const struct clock_door virtual_clock = { NULL, virtual_now, virtual_boot, virtual_wall,
                                                 virtual_sleep };

static struct agents *agents_with_faults(struct sim *sim) {
    if (getpid() != parent) clock_steer(&virtual_clock);
    return now_faults ? faults_agents(now_faults) : sim_agents(sim);
}

bool __wrap_operation_cancelled(struct aggregate *am, const char *id);
bool __wrap_operation_cancelled(struct aggregate *am, const char *id) {
    (void)am;
    (void)id;
    return now_faults && faults_cancelled(now_faults);
}

/* --- one cell --- */
struct cell {
    const char *delivery;
    struct { enum fault_kind kind; int nth, length, victim; } faults[2];
    enum db_fault_point point;
    enum db_fault_kind db_kind;
    int db_nth; /* 0: none */
};

static const struct cell *cell_now;
static void arm_cell(int n) {
    (void)n;
    db_fail_nth(cell_now->point, cell_now->db_nth, cell_now->db_kind);
}

static void describe(const struct cell *c, char *ret, size_t size) {
    size_t at = (size_t)snprintf(ret, size, "%s:", c->delivery);
    for (size_t i = 0; i < 2 && c->faults[i].kind; i++)
        at += (size_t)snprintf(ret + at, size - at, " %s at call %d for %d, victim h%d;",
                               fault_names[c->faults[i].kind], c->faults[i].nth, c->faults[i].length,
                               c->faults[i].victim);
    if (c->db_nth) snprintf(ret + at, size - at, " database point %d kind %d nth %d", (int)c->point,
                            (int)c->db_kind, c->db_nth);
}

/* Returns how many calls there were. */
static int run_cell(const struct cell *c, uint64_t *ret_trace) {
    struct story t;
    char what[200];
    parent = getpid();
    wanted_delivery = c->delivery;
    now_faults = NULL;
    story_agents = agents_with_faults;
    describe(c, what, sizeof what);
    begin(&t);
    now_faults = faults_new(t.sim);
    for (size_t i = 0; i < 2 && c->faults[i].kind; i++)
        faults_plan(now_faults, c->faults[i].kind, c->faults[i].nth, c->faults[i].length,
                    c->faults[i].victim);
    cell_now = c;
    play(&t, c->db_nth ? arm_cell : NULL, 0);
    ck_assert_msg(t.outcome == DONE || t.outcome == ABORTED, "%s: outcome %d (last error: %s)", what,
                  t.outcome, sim_last_error(t.sim));
    int calls = faults_calls(now_faults);
    if (ret_trace) *ret_trace = faults_trace(now_faults) + (uint64_t)t.outcome;
    faults_heal(now_faults);
    judge(&t, what, t.lives);
    faults_free(now_faults);
    now_faults = NULL;
    return c->db_nth ? (t.lives == 1 ? calls : calls) : calls;
}

static int stride(void) { return getenv("JOGAK_SOAK") ? 1 : STRIDE; }
static const char *const ways[] = { "direct", "store" };
static const int lengths[] = { 2, 9 };

static void at_all_calls(struct cell *c, int from) {
    for (int n = from; n < CALLS_MAX; n += stride()) {
        c->faults[0].nth = n;
        if (run_cell(c, NULL) < n) return;
    }
    ck_abort_msg("no end of calls");
}

/* --- engine-faults --- */
static void kind_everywhere(enum fault_kind kind, int from) {
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        for (size_t l = 0; l < (kind >= FAULT_LATE ? COUNT_OF(lengths) : 1); l++)
            for (int victim = 1; victim <= (fault_has_victim(kind) ? 2 : 1); victim++) {
                struct cell c = { .delivery = ways[way],
                                  .faults = { { kind, 0, lengths[l], victim } } };
                at_all_calls(&c, 1 + (from + (int)l + victim) % stride());
            }
    }
}

START_TEST(a_fault_at_every_call) { kind_everywhere((enum fault_kind)_i, _i); }
END_TEST

/* The aggregate's disk is full, fails, or its sync does, once; or it dies there. */
START_TEST(a_fault_at_every_transaction) {
    for (size_t way = 0; way < COUNT_OF(ways); way++)
        for (int point = DB_FAULT_BEGIN; point <= DB_FAULT_COMMIT; point++)
            for (int n = 1; n < 90; n += stride()) {
                struct cell c = { .delivery = ways[way], .point = (enum db_fault_point)point,
                                  .db_kind = (enum db_fault_kind)_i, .db_nth = n };
                run_cell(&c, NULL);
            }
}
END_TEST

/* --- repeat-twice: every call of a run and of an undo is made twice, in a row and with others between --- */
START_TEST(each_call_twice) {
    static const enum fault_kind twice[] = { FAULT_TWICE, FAULT_AGAIN_LATE };
    for (size_t k = 0; k < COUNT_OF(twice); k++)
        for (size_t way = 0; way < COUNT_OF(ways); way++)
            for (int cancel = 0; cancel < 2; cancel++)
                for (int n = 1; n < 45; n += stride()) {
                    struct cell c = { .delivery = ways[way],
                                      .faults = { { twice[k], n, 3, 1 },
                                                  { cancel ? FAULT_CANCEL : FAULT_NONE, 11, 0, 0 } } };
                    run_cell(&c, NULL);
                }
}
END_TEST

/* --- cancel-everywhere --- */
START_TEST(cancelled_at_every_call) {
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        struct cell c = { .delivery = ways[way], .faults = { { FAULT_CANCEL, 0, 0, 0 } } };
        for (int n = 1; n < 45; n++) {
            c.faults[0].nth = n;
            run_cell(&c, NULL);
        }
    }
}
END_TEST

/* --- engine-double --- */
START_TEST(two_faults) {
    int step = getenv("JOGAK_SOAK") ? 3 : 97;
    for (int second = 1; second < FAULT_KINDS_; second++)
        for (int n = 1 + (_i + second) % step; n < 45; n += step)
            for (int gap = 1; gap < 12; gap += 5) {
                struct cell c = { .delivery = ways[(n + gap) % 2],
                                  .faults = { { (enum fault_kind)_i, n, 6, 1 + n % 2 },
                                              { (enum fault_kind)second, n + gap, 6, 1 + gap % 2 } } };
                run_cell(&c, NULL);
            }
}
END_TEST

/* --- engine-seeds --- */
static uint64_t next(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static void run_seed(uint64_t seed, uint64_t *ret_trace) {
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
    static const char *const all[] = { "auto", "direct", "store", "fresh" };
    struct cell c = { .delivery = all[next(&s) % 4] };
    for (int i = 0; i < 2; i++) {
        c.faults[i].kind = (enum fault_kind)(1 + next(&s) % (FAULT_KINDS_ - 1));
        c.faults[i].nth = 1 + (int)(next(&s) % 45);
        c.faults[i].length = 1 + (int)(next(&s) % 15);
        c.faults[i].victim = 1 + (int)(next(&s) % 3);
    }
    if (next(&s) % 4 == 0) {
        c.point = next(&s) % 2 ? DB_FAULT_BEGIN : DB_FAULT_COMMIT;
        c.db_kind = (enum db_fault_kind)(next(&s) % 4);
        c.db_nth = 1 + (int)(next(&s) % 60);
    }
    jumping = next(&s) % 2;
    run_cell(&c, ret_trace);
}

START_TEST(random_faults) {
    unsigned long from = 1, to = getenv("JOGAK_SOAK") ? 5000 : 150;
    const char *given = getenv("JOGAK_SEEDS");
    if (given) ck_assert_int_eq(sscanf(given, "%lu-%lu", &from, &to), 2);
    for (unsigned long seed = from; seed <= to; seed++) {

        run_seed(seed, NULL);
    }
}
END_TEST

START_TEST(a_seed_replays_the_same) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t first = 0, second = 1;
        run_seed(seed, &first);
        run_seed(seed, &second);
        ck_assert_msg(first == second, "seed %d: two runs differ", (int)seed);
    }
}
END_TEST

static TCase *suite_case(Suite *suite, const char *name) {
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, getenv("JOGAK_SOAK") ? 7200 : 300);
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void) {
    if (!mkdtemp(dir)) return 2;
    agents_call_in_turn();
    log_set_levels("error,db.write=error");
    Suite *suite = suite_create("faults");
    TCase *tc = suite_case(suite, "engine-faults");
    tcase_add_loop_test(tc, a_fault_at_every_call, 1, FAULT_CANCEL);
    tcase_add_loop_test(tc, a_fault_at_every_transaction, 0, DB_FAULT_LOST + 1);
    tcase_add_test(suite_case(suite, "repeat-twice"), each_call_twice);
    tcase_add_test(suite_case(suite, "cancel-everywhere"), cancelled_at_every_call);
    tc = suite_case(suite, "engine-double");
    tcase_add_loop_test(tc, two_faults, 1, FAULT_KINDS_);
    tc = suite_case(suite, "engine-seeds");
    tcase_add_test(tc, random_faults);
    tcase_add_test(tc, a_seed_replays_the_same);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    story_clean();
    return failed ? 1 : 0;
}
