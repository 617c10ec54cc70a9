/*
 * Public addresses: what the configuration may say of sites, and who gets which address.
 * What becomes of them when an aggregate is killed in a migration: test_am_engine.c.
 */
#include "aggregate/address.h"
#include "aggregate/allocate.h"
#include "aggregate/event.h"
#include "aggregate/forwarding.h"
#include "aggregate/guest_seed.h"
#include "aggregate/node.h"
#include "aggregate/placement.h"
#include "aggregate/topology.h"
#include "common/clock.h"
#include "common/log.h"

#include <check.h>
#include <stdio.h>

static char dir[64], path[96];
static struct aggregate_config config;
static struct aggregate am;
static struct err err;

/* --- sites --- */

static struct sites *read_sites(struct config_entry *pools, struct config_entry *gateways) {
    struct aggregate_config c = { .site_pools = pools, .site_gateways = gateways };
    err_clear(&err);
    return sites_read(&c, &err);
}
#define ENTRY(name, value, next) \
    &(struct config_entry) { next, (char *)(uintptr_t)(name), (char *)(uintptr_t)(value) }

START_TEST(sites_are_read) {
    struct sites *s = read_sites(ENTRY("east", "203.0.113.16/30", ENTRY("west", "198.51.100.9/32", NULL)),
                                 ENTRY("west", "h3", ENTRY("east", "h1", NULL)));
    ck_assert_msg(s != NULL, "%s", err.msg);
    ck_assert_uint_eq(s->count, 2);
    const struct site *east = site_named(s, "east"), *west = site_named(s, "west");
    ck_assert_uint_eq(east->first, 0xcb007111); /* without the network's own address */
    ck_assert_uint_eq(east->count, 2);          /* and without its broadcast address */
    ck_assert_uint_eq(west->first, 0xc6336409);
    ck_assert_uint_eq(west->count, 1);
    ck_assert(site_is_gateway(s, "h1") && site_is_gateway(s, "h3") && !site_is_gateway(s, "h2"));
    ck_assert_ptr_null(site_named(s, "north"));
    sites_free(s);
    s = read_sites(NULL, NULL);
    ck_assert_uint_eq(s->count, 0);
    sites_free(s);
    ck_assert_ptr_null(site_named(NULL, "east"));
    ck_assert(!site_is_gateway(NULL, "h1"));
}
END_TEST

START_TEST(bad_sites_are_refused) {
    static const struct {
        const char *pool, *gateway, *what;
    } bad[] = {
        { "203.0.113.17/28", "h1", "multiple" },   { "203.0.113.0/8", "h1", "at most" },
        { "203.0.113.0/33", "h1", "at most" },     { "203.0.113.0", "h1", "at most" },
        { "203.0.113.0/", "h1", "at most" },       { "203.0.113.0/24x", "h1", "at most" },
        { "203.0.113/24", "h1", "no IPv4" },       { "2001:db8::/64", "h1", "at most" },
        { "203.0.113.0/28", NULL, "gateway" },     { NULL, "h1", "public_pool is missing" },
        { "203.0.113.0/28", "h 1", "gateway" },    { "203.0.113.0/28", "", "gateway" },
        { "203.0.113.64/28", "h1", "overlaps that of [site.a]" },
        { "", "h1", "no IPv4" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct config_entry *pools = bad[i].pool ? ENTRY("b", bad[i].pool, NULL) : NULL;
        struct config_entry *gateways = bad[i].gateway ? ENTRY("b", bad[i].gateway, NULL) : NULL;
        struct sites *s = read_sites(ENTRY("a", "203.0.113.64/26", pools), ENTRY("a", "h9", gateways));
        ck_assert_msg(!s, "accepted: %s %s", bad[i].pool, bad[i].gateway);
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_msg(strstr(err.msg, "[site.b]") && strstr(err.msg, bad[i].what), "%s", err.msg);
        ck_assert(err.remedy[0]);
    }
    ck_assert_ptr_null(read_sites(ENTRY("Ea st", "203.0.113.0/28", NULL), ENTRY("Ea st", "h1", NULL)));
}
END_TEST

/* --- allocation --- */

static struct site site_rows[] = {
    { "east", "h1", 0xcb007111, 2 }, /* 203.0.113.17 and .18 */
    { "west", "h9", 0xc6336411, 1 }, /* its gateway is not there */
};
static struct sites sites = { site_rows, COUNT_OF(site_rows) };

static int add_nodes(struct db_conn *c, void *arg, struct err *e) {
    (void)arg;
    static const char *const where[] = { "east", "east", "west", "north" };
    for (int i = 0; i < 4; i++) {
        char name[8], urn[64];
        snprintf(name, sizeof name, "h%d", i + 1);
        snprintf(urn, sizeof urn, "urn:publicid:IDN+example.org+node+h%d", i + 1);
        if (db_exec(c, NULL, e,
                    "INSERT INTO node (name, urn, state, host, port, vtep, vcpus, memory_mib, disk_mib,"
                    " capabilities, added_ms, site) VALUES (?, ?, 'ready', 'h', 1, '10.0.0.1', 16, 8192,"
                    " 65536, '{\"kinds\":[\"full\"]}', 0, ?)", "sss", name, urn, where[i]))
            return -1;
    }
    return 0;
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/jogak-test-address-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/am.db", dir);
    config = (struct aggregate_config){ .cpu_overcommit_percent = 400, .hold_s = 300 };
    am = (struct aggregate){ .config = &config, .sites = &sites, .events = events_new() };
    am.db = db_open(path, aggregate_migrations, aggregate_migration_count, false, &err);
    ck_assert_msg(am.db != NULL, "%s", err.msg);
    ck_assert_int_eq(db_write(am.db, add_nodes, NULL, &err), 0);
}

static void teardown(void) {
    db_close(am.db);
    events_free(am.events);
    static const char *const names[] = { "am.db", "am.db-wal", "am.db-shm" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* Slivers 1 to count of that slice, each with a public vNIC; node may be NULL. */
static json *topology_of(int count, const char *node) {
    struct buf b AUTO_BUF = BUF_INIT;
    buf_puts(&b, "{\"links\":[{\"name\":\"lan\",\"router\":\"10.1.0.254\"}],\"slivers\":[");
    for (int i = 1; i <= count; i++)
        buf_printf(&b, "%s{\"name\":\"s%d\",\"image\":\"x\",%s%s%s\"vnics\":[{\"link\":\"lan\",\"public\":true,"
                       "\"addresses\":[\"10.1.0.%d/24\"]}]}",
                   i > 1 ? "," : "", i, node ? "\"node\":\"" : "", node ? node : "", node ? "\"," : "", i);
    buf_puts(&b, "]}");
    json *j = json_parse(b.data, b.length, &err);
    ck_assert_msg(j != NULL, "%s", err.msg);
    return j;
}

static int take(const char *slice, json *topology, char ret_id[37], json **ret_reasons) {
    struct credential who = { .owner = "urn:publicid:IDN+example.org+user+u",
                              .target_expires_ms = clock_wall_ms() + 3600000, .keys = json_array() };
    err_clear(&err);
    ck_assert_msg(topology_check(topology, &err) == 0, "%s", err.msg);
    struct allocate a = { .am = &am, .who = &who, .slice_urn = slice, .topology = topology };
    int rc = db_write(am.db, allocate, &a, &err);
    if (ret_id) memcpy(ret_id, a.id, 37);
    if (ret_reasons) *ret_reasons = a.reasons;
    else json_put(a.reasons);
    json_put(who.keys);
    json_put(topology);
    return rc;
}

#define SLICE "urn:publicid:IDN+example.org:demo+slice+one"
#define OTHER "urn:publicid:IDN+example.org:demo+slice+two"

static int count_fn(struct db_conn *c, void *arg, struct err *e) {
    struct db_stmt *q AUTO_STMT = db_query(
        c, e, "SELECT (SELECT COUNT(*) FROM public_address) + (SELECT COUNT(*) FROM sliver) AS n", "");
    if (!q || db_step(q, e) != 1) return -1;
    *(int *)arg = (int)db_int(q, "n");
    return 0;
}

static int rows(void) {
    int n = -1;
    ck_assert_int_eq(db_read(am.db, count_fn, &n, &err), 0);
    return n;
}

static int of_reservation(struct db_conn *c, void *arg, struct err *e) {
    void **a = arg;
    return sliver_of_reservation(c, a[0], a[1], e);
}

static void slivers_of(char id[37], struct sliver_list *ret) {
    void *arg[] = { id, ret };
    ck_assert_int_eq(db_read(am.db, of_reservation, arg, &err), 0);
}

static int drop_fn(struct db_conn *c, void *arg, struct err *e) {
    return sliver_set_allocation(c, arg, "unallocated", e);
}

START_TEST(each_gets_one_of_its_site) {
    char id[37];
    ck_assert_msg(take(SLICE, topology_of(2, NULL), id, NULL) == 0, "%s", err.msg);
    struct sliver_list all AUTO_SLIVERS = { 0 };
    slivers_of(id, &all);
    ck_assert_uint_eq(all.count, 2);
    /* Only the site in the east can give any: there they were placed, on two nodes. */
    ck_assert_str_ne(all.rows[0].node, all.rows[1].node);
    for (size_t i = 0; i < 2; i++) {
        const struct vnic *v = &all.rows[i].vnics[0];
        ck_assert(!strcmp(all.rows[i].node, "h1") || !strcmp(all.rows[i].node, "h2"));
        ck_assert_str_eq(v->public_site, "east");
        ck_assert_str_eq(v->public_address, i ? "203.0.113.18" : "203.0.113.17");
        json *j AUTO_JSON = sliver_json(&all.rows[i]);
        ck_assert_str_eq(json_str(json_path(j, "vnics.0.public_address")), v->public_address);
        json *seed AUTO_JSON = guest_seed(&all.rows[i], NULL);
        ck_assert(strstr(json_get_str(seed, "network_config"), "via: 10.1.0.254") != NULL);
    }
}
END_TEST

START_TEST(an_empty_pool_is_a_reason) {
    json *reasons AUTO_JSON = NULL;
    ck_assert_int_eq(take(SLICE, topology_of(3, NULL), NULL, &reasons), -1);
    ck_assert_int_eq(err.code, ERR_NO_SPACE);
    ck_assert_msg(strstr(err.msg, "public_addresses 1 needed, 0 free") != NULL, "%s", err.msg);
    ck_assert_msg(strstr(err.msg, "h3: no_gateway") != NULL, "%s", err.msg);
    ck_assert_int_eq(rows(), 0); /* nothing half-made */
    bool found = false;
    for (size_t i = 0; i < json_length(reasons); i++)
        found |= !strcmp(json_get_str(json_at(reasons, i), "reason"), "public_addresses");
    ck_assert(found);
    static const char *const hopeless[] = { "h3", "h4" }; /* no gateway there; no pool at all */
    for (size_t i = 0; i < COUNT_OF(hopeless); i++) {
        ck_assert_int_eq(take(SLICE, topology_of(1, hopeless[i]), NULL, NULL), -1);
        ck_assert_int_eq(rows(), 0);
    }
}
END_TEST

/* A sliver that has an address: what keeps it from, or lets it go to, a node of that site and of another. */
START_TEST(an_address_binds_to_its_site) {
    int64_t none = 0, one = 1;
    struct node rows_[] = { { .name = "a", .state = "ready", .vcpus = 9, .site = "east", .public_free = &none },
                            { .name = "b", .state = "ready", .vcpus = 9, .site = "west", .public_free = &one } };
    for (size_t i = 0; i < COUNT_OF(rows_); i++) rows_[i].capabilities = json_parse("{\"kinds\":[\"full\"]}", 18, NULL);
    struct placement_wish w = { .name = "x", .kind = "full", .is_public = true, .has_site = "east" };
    ck_assert_ptr_null(placement_fits(&rows_[0], &w, 100).reason); /* its own address goes along */
    ck_assert_ptr_null(placement_fits(&rows_[1], &w, 100).reason);
    placement_use(&rows_[0], &w, 1);
    placement_use(&rows_[1], &w, 1);
    ck_assert_int_eq(none, 0);
    ck_assert_int_eq(one, 0);
    ck_assert_str_eq(placement_fits(&rows_[1], &w, 100).reason, "public_addresses");
    placement_use(&rows_[1], &w, -1);
    ck_assert_int_eq(one, 1);
    w.stays = true;
    ck_assert_ptr_null(placement_fits(&rows_[0], &w, 100).reason);
    ck_assert_str_eq(placement_fits(&rows_[1], &w, 100).reason, "other_site");
    w.is_public = false;
    w.has_site = NULL;
    ck_assert_ptr_null(placement_fits(&rows_[1], &w, 100).reason);
    for (size_t i = 0; i < COUNT_OF(rows_); i++) node_done(&rows_[i]);
}
END_TEST

static int owe_fn(struct db_conn *c, void *arg, struct err *e) {
    return db_exec(c, NULL, e, "INSERT INTO behind (slice, node, since_ms) VALUES (?, 'h1', 0)", "s", arg);
}
static int paid_fn(struct db_conn *c, void *arg, struct err *e) {
    return db_exec(c, NULL, e, "DELETE FROM behind WHERE slice = ?", "s", arg);
}

/* What is given back goes to others, but not while a gateway may still translate it for its last owner. */
START_TEST(given_back_once_all_were_told) {
    char id[37];
    ck_assert_int_eq(take(SLICE, topology_of(2, NULL), id, NULL), 0);
    ck_assert_int_eq(take(OTHER, topology_of(1, NULL), NULL, NULL), -1);
    struct sliver_list all AUTO_SLIVERS = { 0 };
    slivers_of(id, &all);
    char *slice = all.rows[0].slice;
    ck_assert_int_eq(db_write(am.db, owe_fn, slice, &err), 0);
    ck_assert_int_eq(db_write(am.db, drop_fn, all.rows[0].id, &err), 0);
    address_tick(&am);
    ck_assert_int_eq(take(OTHER, topology_of(1, NULL), NULL, NULL), -1);
    ck_assert_int_eq(db_write(am.db, paid_fn, slice, &err), 0);
    address_tick(&am);
    ck_assert_msg(take(OTHER, topology_of(1, NULL), id, NULL) == 0, "%s", err.msg);
    struct sliver_list fresh AUTO_SLIVERS = { 0 };
    slivers_of(id, &fresh);
    ck_assert_str_eq(fresh.rows[0].vnics[0].public_address, all.rows[0].vnics[0].public_address);
}
END_TEST

static int lose_fn(struct db_conn *c, void *arg, struct err *e) {
    (void)arg;
    return db_exec(c, NULL, e, "UPDATE node SET state = CASE name WHEN 'h2' THEN 'retired' ELSE 'lost' END", "");
}

static int behind_fn(struct db_conn *c, void *arg, struct err *e) {
    struct db_stmt *q AUTO_STMT = db_query(c, e, "SELECT COUNT(*) AS n, MAX(node) AS node FROM behind", "");
    if (!q || db_step(q, e) != 1) return -1;
    ck_assert_int_eq(db_int(q, "n"), 1);
    snprintf(arg, 8, "%s", db_text(q, "node"));
    return 0;
}

/* A gateway that is lost hears of the slice when it is back, though no sliver runs there. */
START_TEST(a_lost_gateway_is_told_later) {
    char id[37], node[8];
    ck_assert_msg(take(SLICE, topology_of(1, "h2"), id, NULL) == 0, "%s", err.msg);
    struct sliver_list all AUTO_SLIVERS = { 0 };
    slivers_of(id, &all);
    ck_assert_int_eq(db_write(am.db, lose_fn, NULL, &err), 0);
    ck_assert_int_eq(forwarding_push(&am, all.rows[0].slice, NULL, NULL, NULL, &err), 0);
    ck_assert_int_eq(db_read(am.db, behind_fn, node, &err), 0);
    ck_assert_str_eq(node, "h1");
}
END_TEST

START_TEST(topologies_that_cannot_work) {
    static const struct {
        const char *vnics, *router, *what;
    } bad[] = {
        { "{\"link\":\"lan\",\"public\":true,\"addresses\":[\"10.1.0.1/24\"]}", NULL, "has no router" },
        { "{\"link\":\"lan\",\"public\":true}", "10.1.0.254", "not in the network" },
        { "{\"link\":\"lan\",\"public\":true,\"addresses\":[\"fd00::1/64\"]}", "10.1.0.254", "not in the network" },
        { "{\"link\":\"lan\",\"public\":true,\"addresses\":[\"10.2.0.1/24\"]}", "10.1.0.254", "not in the network" },
        { "{\"link\":\"lan\",\"addresses\":[\"10.1.0.254/24\"]}", "10.1.0.254", "given twice" },
        { "{\"name\":\"a\",\"link\":\"lan\",\"public\":true,\"addresses\":[\"10.1.0.1/24\"]},"
          "{\"name\":\"b\",\"link\":\"lan\",\"public\":true,\"addresses\":[\"10.1.0.2/24\"]}",
          "10.1.0.254", "one public vNIC" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *router = bad[i].router;
        char *text AUTO_FREE = xasprintf(
            "{\"links\":[{\"name\":\"lan\"%s%s%s}],\"slivers\":[{\"name\":\"s\",\"image\":\"x\",\"vnics\":[%s]}]}",
            router ? ",\"router\":\"" : "", router ? router : "", router ? "\"" : "", bad[i].vnics);
        json *topology AUTO_JSON = json_parse(text, strlen(text), &err);
        err_clear(&err);
        ck_assert_msg(topology && topology_check(topology, &err), "accepted: %s", text);
        ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
        ck_assert_msg(strstr(err.msg, bad[i].what) != NULL, "%s", err.msg);
    }
}
END_TEST

int main(void) {
    log_set_levels("error");
    Suite *suite = suite_create("address");
    TCase *config_case = tcase_create("sites");
    tcase_add_test(config_case, sites_are_read);
    tcase_add_test(config_case, bad_sites_are_refused);
    tcase_add_test(config_case, topologies_that_cannot_work);
    tcase_add_test(config_case, an_address_binds_to_its_site);
    suite_add_tcase(suite, config_case);
    TCase *tc = tcase_create("addresses");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, each_gets_one_of_its_site);
    tcase_add_test(tc, an_empty_pool_is_a_reason);
    tcase_add_test(tc, given_back_once_all_were_told);
    tcase_add_test(tc, a_lost_gateway_is_told_later);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
