/*
 * The audit's comparison: a table with a row for every rule.
 */
#include "aggregate/audit_compare.h"
#include "am_audit_fixture.h"

static struct audit_sliver a_is(const char *state) {
    struct audit_sliver s = { .id = A, .name = "a", .slice = SLICE, .allocation = "provisioned",
                              .node = "h1", .epoch = 3, .last_epoch = 5, .vnics = 1 };
    snprintf(s.state, sizeof s.state, "%s", state);
    return s;
}
static const struct audit_sliver released_b = { .id = B, .name = "b", .slice = SLICE,
                                                .allocation = "unallocated", .state = "ready",
                                                .node = "h1", .epoch = 2, .last_epoch = 2 };

static const struct rule_case {
    const char *title, *state, *items;
    int flags;
    const char *what; /* NULL: no finding at all */
    enum audit_repair repair;
    const char *becomes; /* REPAIR_STATE */
} cases[] = {
    { "as it should be", "ready", HEALTHY, 0, NULL, 0, NULL },
    { "stopped by a user", "stopped", ROW("stopped") "," FORWARDING, 0, NULL, 0, NULL },
    { "failed while it was made", "failed", "", 0, NULL, 0, NULL },
    { "QEMU was killed", "ready", ROW("failed") "," PORT "," FORWARDING, 0, "not-running",
      REPAIR_STATE, "failed" },
    { "shut down by its guest", "ready", ROW("stopped") "," PORT "," FORWARDING, 0, "not-running",
      REPAIR_STATE, "stopped" },
    { "ended unseen", "ready", ROW("own") "," PORT "," FORWARDING, 0, "not-running", REPAIR_STATE,
      "failed" },
    { "nothing of it is there", "ready", FORWARDING, 0, "not-running", REPAIR_STATE, "failed" },
    { "its target was never activated", "ready", ROW("incoming") "," FORWARDING, 0, "not-running",
      REPAIR_STATE, "failed" },
    { "dead, but an operation has it", "ready", FORWARDING, MOVING, NULL, 0, NULL },
    { "dead, and libvirt does not answer", "ready", FORWARDING, NO_LIBVIRT, NULL, 0, NULL },
    { "dead perhaps: the list is cut off", "ready", FORWARDING, INCOMPLETE, NULL, 0, NULL },
    { "not made yet", "notready", "", ALLOCATED, NULL, 0, NULL },
    { "its armed migration waits", "ready", ROW("failed") "," FORWARDING, ARMED, "not-running",
      REPAIR_STATE, "failed" },
    { "left in the state migrating", "migrating", HEALTHY, 0, "running", REPAIR_STATE, "ready" },
    { "called failed, and runs", "failed", HEALTHY, 0, "running", REPAIR_STATE, "ready" },
    { "called stopped, and runs", "stopped", HEALTHY, 0, "running", REPAIR_STATE, "ready" },
    { "left paused", "ready", DOMAIN("paused") "," ROW("own") "," PORT "," FORWARDING, 0, "paused",
      REPAIR_NONE, NULL },
    { "has no port", "ready", DOMAIN("running") "," ROW("own") "," FORWARDING, 0, "no-port",
      REPAIR_NONE, NULL },
    { "has no port: the switch is silent", "ready", DOMAIN("running") "," ROW("own") "," FORWARDING,
      NO_SWITCH, NULL, 0, NULL },
    { "no forwarding", "ready", DOMAIN("running") "," ROW("own") "," PORT, 0, "missing",
      REPAIR_FORWARDING, NULL },
    { "the database was lost", "ready",
      THING("domain", "jogak-aaaaaaaa-e3", A, 3, false) "," PORT "," FORWARDING, 0, "not-adopted",
      REPAIR_ADOPT, NULL },
    { "lost database, stopped sliver", "stopped",
      THING("file", "slivers/" A "/disk-e3.qcow2", A, 3, false) "," FORWARDING, 0, "not-adopted",
      REPAIR_ADOPT, NULL },
    { "an older domain here", "ready", HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false),
      0, "old", REPAIR_CLEANUP, NULL },
    { "an older row here", "ready", HEALTHY "," THING("row", A "-e1", A, 1, true), 0, "old",
      REPAIR_CLEANUP, NULL },
    { "an older port here", "ready", HEALTHY "," THING("port", "jg9", A, 2, false), 0, "old",
      REPAIR_COLLECT, NULL },
    { "an older tap here", "ready", HEALTHY "," THING("tap", "jg9", A, 2, false), 0, "old",
      REPAIR_COLLECT, NULL },
    { "an older disk here", "ready",
      HEALTHY "," THING("file", "slivers/" A "/disk-e2.qcow2", A, 2, false), 0, "old",
      REPAIR_COLLECT, NULL },
    { "a source that was not removed", "ready", THING("domain", "jogak-aaaaaaaa-e3", A, 3, true),
      ELSEWHERE, "old", REPAIR_CLEANUP, NULL },
    { "a target that was not undone", "ready", THING("domain", "jogak-aaaaaaaa-e5", A, 5, true),
      ELSEWHERE, "old", REPAIR_CLEANUP, NULL },
    { "held for the want of a lease", "ready", DOMAIN("held") "," ROW("own") "," PORT "," FORWARDING, 0,
      NULL, 0, NULL },
    { "elsewhere, and its owner has nothing: the last one", "ready",
      THING("domain", "jogak-aaaaaaaa-e2", A, 2, true), ELSEWHERE | UNSEEN, "old", REPAIR_CLEANUP, NULL },
    { "an older one, and the present one is not there", "stopped",
      THING("domain", "jogak-aaaaaaaa-e2", A, 2, true), 0, "old", REPAIR_CLEANUP, NULL },
    { "an incoming target, its migration open", "ready",
      THING("domain", "jogak-aaaaaaaa-e5", A, 5, true), ELSEWHERE | MOVING, NULL, 0, NULL },
    { "what an armed migration holds", "ready",
      THING("file", "slivers/" A "/disk-e5.qcow2", A, 5, true), ELSEWHERE | ARMED, NULL, 0, NULL },
    { "an older one, its migration open", "ready",
      HEALTHY "," THING("domain", "jogak-aaaaaaaa-e2", A, 2, false), MOVING, NULL, 0, NULL },
    { "newer than its owner, at its owner", "ready",
      HEALTHY "," THING("domain", "jogak-aaaaaaaa-e4", A, 4, true), 0, "ahead", REPAIR_NONE, NULL },
    { "of an epoch never given out", "ready",
      THING("domain", "jogak-aaaaaaaa-e9", A, 9, true), ELSEWHERE, "ahead", REPAIR_NONE, NULL },
    { "of a released sliver", "ready", HEALTHY "," THING("domain", "jogak-bbbbbbbb-e2", B, 2, true), 0,
      "ended", REPAIR_CLEANUP, NULL },
    { "files of a released sliver", "ready",
      HEALTHY "," THING("file", "slivers/" B "/seed-e1.iso", B, 1, false), 0, "ended",
      REPAIR_COLLECT, NULL },
    { "of a sliver that nobody knows", "ready",
      HEALTHY "," THING("domain", "jogak-cccccccc-e1", NOBODY, 1, true), 0, "unknown-sliver",
      REPAIR_NONE, NULL },
    { "a tap that nothing explains", "ready", HEALTHY "," OF("unknown", "tap", "jgdeadbeef0001"), 0,
      "unclear", REPAIR_NONE, NULL },
    { "a port without an owner", "ready", HEALTHY "," OF("yes", "port", "jg7"), 0, "unclear", REPAIR_NONE,
      NULL },
    { "a domain of somebody else", "ready", HEALTHY "," OF("no", "domain", "web"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "a tap of somebody else", "ready", HEALTHY "," OF("no", "tap", "vnet0"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "a bridge of somebody else", "ready", HEALTHY "," OF("no", "bridge", "br-ex"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "flows of somebody else", "ready", HEALTHY "," OF("no", "flow", "others"), 0, "foreign",
      REPAIR_NONE, NULL },
    { "an image", "ready", HEALTHY "," OF("yes", "image", "0.qcow2"), 0, NULL, 0, NULL },
    { "flows of its links", "ready", HEALTHY "," FLOW(5000, true), 0, NULL, 0, NULL },
    { "flows of a link of its slice, no document", "ready", HEALTHY "," FLOW(5000, false), 0,
      "missing", REPAIR_FORWARDING, NULL },
    { "flows of a link that has nothing here", "ready", HEALTHY "," FLOW(6000, false), 0, "leftover",
      REPAIR_COLLECT, NULL },
    { "flows of a link that moves", "ready", HEALTHY "," FLOW(7000, false), 0, NULL, 0, NULL },
    { "flows of no link", "ready", HEALTHY "," FLOW(8000, false), 0, "leftover", REPAIR_COLLECT,
      NULL },
    { "a migration under way", "ready", HEALTHY "," OF("yes", "migration", OPEN_MIGRATION), 0, NULL,
      0, NULL },
    { "a migration that has ended", "ready", HEALTHY "," OF("yes", "migration", PAST_MIGRATION), 0,
      "leftover", REPAIR_FORGET, NULL },
    { "a migration that nobody knows", "ready", HEALTHY "," OF("yes", "migration", NOBODY), 0,
      "unclear", REPAIR_NONE, NULL },
    { "sockets of a migration that has ended", "ready",
      HEALTHY "," OF("yes", "directory", "migrate/" PAST_MIGRATION), 0, "leftover", REPAIR_COLLECT,
      NULL },
    { "sockets of a migration under way", "ready",
      HEALTHY "," OF("yes", "directory", "migrate/" OPEN_MIGRATION), 0, NULL, 0, NULL },
};

static void compare(const char *state, const char *items, int flags, struct audit_findings *ret) {
    struct audit_sliver slivers[] = { a_is(state), released_b };
    struct audit_link links[] = {
        { .vni = 5000, .slice = SLICE, .here = true },
        { .vni = 6000, .slice = NOBODY },
        { .vni = 7000, .slice = NOBODY, .moving = true },
    };
    slivers[0].owner_has_it = !(flags & UNSEEN);
    slivers[0].moving = flags & MOVING;
    slivers[0].armed = flags & ARMED;
    if (flags & ALLOCATED) snprintf(slivers[0].allocation, sizeof slivers[0].allocation, "allocated");
    if (flags & ELSEWHERE) snprintf(slivers[0].node, sizeof slivers[0].node, "h2");
    json *inventory AUTO_JSON = inventory_of(items, flags);
    json *migrations AUTO_JSON = json_set_bool(json_object(), OPEN_MIGRATION, true);
    json_set_bool(migrations, PAST_MIGRATION, false);
    struct audit_view view = { .node = "h1", .slivers = slivers, .sliver_count = 2, .links = links,
                               .link_count = 3, .migrations = migrations };
    audit_compare(&view, inventory, ret);
}

START_TEST(rules) {
    const struct rule_case *c = &cases[_i];
    struct audit_findings found AUTO_FINDINGS = { NULL, 0 };
    compare(c->state, c->items, c->flags, &found);
    ck_assert_msg(found.count == (c->what ? 1 : 0), "%s: %zu findings, first %s of %s", c->title,
                  found.count, found.count ? found.rows[0].what : "", found.count ? found.rows[0].name : "");
    if (!c->what) return;
    const struct audit_finding *f = &found.rows[0];
    ck_assert_msg(!strcmp(f->what, c->what), "%s: found %s", c->title, f->what);
    ck_assert_msg(f->repair == c->repair, "%s: repair %s", c->title, audit_repair_name(f->repair));
    ck_assert_msg(f->foreign == !strcmp(c->what, "foreign"), "%s", c->title);
    bool last = strstr(c->title, "the last one") || strstr(c->title, "is not there");
    ck_assert_msg(f->withheld == last, "%s: withheld %d", c->title, f->withheld);
    if (c->becomes) ck_assert_str_eq(f->state, c->becomes);
    ck_assert_msg(f->cause[0] != '\0', "%s: says no cause", c->title);
}
END_TEST

/* Beside slivers that we do not know, flows that we do not know are not removed either: we may be the old copy. */
START_TEST(strangers_keep_their_flows) {
    struct audit_findings found AUTO_FINDINGS = { NULL, 0 };
    compare("ready", HEALTHY "," FLOW(8000, false) "," THING("domain", "jogak-cccccccc-e1", NOBODY, 1, true),
            0, &found);
    ck_assert_uint_eq(found.count, 2);
    for (size_t i = 0; i < found.count; i++) ck_assert_int_eq(found.rows[i].repair, REPAIR_NONE);
}
END_TEST

int main(void) {
    Suite *s = suite_create("audit compare");
    TCase *t = tcase_create("comparison");
    tcase_add_loop_test(t, rules, 0, COUNT_OF(cases));
    tcase_add_test(t, strangers_keep_their_flows);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
