/* What people see, and which calls are made for it. */
#include "cli_fixture.h"

#define NODES \
    "{\"items\":[{\"name\":\"h1\",\"urn\":\"" CLI_URN "node+h1\",\"state\":\"ready\"," \
    "\"host\":\"10.0.0.11\",\"heard_ms\":1200,\"slivers\":2," \
    "\"total\":{\"vcpus\":8,\"memory_mib\":4096,\"disk_mib\":20480,\"rate_kbps\":0}," \
    "\"used\":{\"vcpus\":2,\"memory_mib\":256,\"disk_mib\":512,\"rate_kbps\":0}}," \
    "{\"name\":\"h2\",\"urn\":\"" CLI_URN "node+h2\",\"state\":\"joining\"}]}"
#define SLIVER_A \
    "{\"id\":\"11111111-1111-4111-8111-111111111111\",\"urn\":\"" CLI_URN "sliver+ring.a\"," \
    "\"name\":\"a\",\"allocation\":\"provisioned\",\"state\":\"ready\",\"node\":\"h1\",\"epoch\":1," \
    "\"kind\":\"full\",\"vcpus\":1,\"memory_mib\":128,\"disk_mib\":256,\"image\":\"guest\"," \
    "\"vnics\":[{\"name\":\"eth0\",\"link\":\"lan\",\"mac\":\"52:4a:00:00:00:01\",\"rate_kbps\":2000," \
    "\"addresses\":[\"10.1.0.1/24\"]}]}"
#define OPERATION "22222222-2222-4222-8222-222222222222"
#define PENDING "{\"id\":\"" OPERATION "\",\"kind\":\"provision\",\"state\":\"pending\"}"
#define DONE "{\"id\":\"" OPERATION "\",\"kind\":\"provision\",\"state\":\"done\"}"

START_TEST(nodes_as_a_table) {
    ck_assert_int_eq(CLI_CALL("node list", { "GET /v1/nodes", 200, NODES, NULL }), 0);
    ck_assert_str_eq(cli_out,
                     "NAME  STATE    SLIVERS  VCPUS   MEMORY              DISK                 HEARD       HOST\n"
                     "h1    ready    2        2 of 8  256 MiB of 4.0 GiB  512 MiB of 20.0 GiB  1.20 s ago  10.0.0.11\n"
                     "h2    joining  -        -       -                   -                    -           -\n");
}
END_TEST

START_TEST(pages_are_joined) {
    ck_assert_int_eq(CLI_CALL("user list",
                              { "GET /v1/users", 200, "{\"items\":[{\"name\":\"a\"}],\"next\":\"k1\"}", NULL },
                              { "GET /v1/users?cursor=k1", 200, "{\"items\":[{\"name\":\"b\"}]}", NULL }), 0);
    ck_assert_str_eq(cli_out, "NAME  ROLE  EMAIL  DISABLED  CREATED\n"
                              "a     -     -      -         -\n"
                              "b     -     -      -         -\n");
}
END_TEST

START_TEST(a_sliver_by_name) {
    ck_assert_int_eq(CLI_CALL("sliver show a", GIVE_CREDENTIAL,
                              { "GET /v1/slivers?slice=demo:ring", 200, "{\"items\":[" SLIVER_A "]}", NULL }), 0);
    ck_assert_str_eq(cli_credential, "cred-slice");
    ck_assert_str_eq(cli_out,
                     "name        a\n"
                     "id          11111111-1111-4111-8111-111111111111\n"
                     "urn         " CLI_URN "sliver+ring.a\n"
                     "state       ready\n"
                     "allocation  provisioned\n"
                     "node        h1\n"
                     "epoch       1\n"
                     "kind        full\n"
                     "image       guest\n"
                     "vcpus       1\n"
                     "memory      128 MiB\n"
                     "disk        256 MiB\n"
                     "vnics       eth0 on lan  52:4a:00:00:00:01  10.1.0.1/24  2000 kbit/s\n");
    ck_assert_int_eq(CLI_CALL("sliver show b", /* the credential is kept */
                              { "GET /v1/slivers?slice=demo:ring", 200, "{\"items\":[" SLIVER_A "]}", NULL }), 1);
    ck_assert_str_eq(cli_notes, "jogak: there is no sliver b in slice demo:ring\n"
                                "  hint: see `jogak sliver list --slice demo:ring`\n");
}
END_TEST

START_TEST(foreign_texts_cannot_speak_to_the_terminal) {
    ck_assert_int_eq(CLI_CALL("project list", { "GET /v1/projects", 200,
                     "{\"items\":[{\"name\":\"p\",\"description\":\"\\u001b[2Jgone\\r\\n\"}]}", NULL }), 0);
    ck_assert_ptr_null(strchr(cli_out, 033));
    ck_assert_ptr_nonnull(strstr(cli_out, "?[2Jgone? "));
}
END_TEST

START_TEST(errors_are_sentences) {
    ck_assert_int_eq(CLI_CALL("node show h9", { "GET /v1/nodes/h9", 404,
        "{\"code\":\"not_found\",\"detail\":\"there is no node h9\",\"remedy\":\"see `jogak node list`\"}", NULL }), 1);
    ck_assert_str_eq(cli_notes, "jogak: there is no node h9\n  hint: see `jogak node list`\n");
    ck_assert_int_eq(CLI_CALL("node list", { "GET /v1/nodes", 0, NULL, NULL }), 1);
    ck_assert_str_eq(cli_notes,
                     "jogak: the aggregate (" CLI_AGGREGATE ") cannot be reached: Connection refused\n"
                     "  hint: check that the service runs and that the address is right\n");
}
END_TEST

START_TEST(a_credential_that_was_overtaken_is_fetched_anew) {
    ck_assert_int_eq(CLI_CALL("reservation list", GIVE_CREDENTIAL,
        { "GET /v1/reservations?slice=demo:ring", 403, "{\"code\":\"forbidden\",\"detail\":\"no\"}", NULL },
        GIVE_CREDENTIAL,
        { "GET /v1/reservations?slice=demo:ring", 200, "{\"items\":[]}", NULL }), 0);
    cli_now_ms += 86400000; /* and one that has ended, too */
    ck_assert_int_eq(CLI_CALL("reservation list", GIVE_CREDENTIAL,
        { "GET /v1/reservations?slice=demo:ring", 200, "{\"items\":[]}", NULL }), 0);
}
END_TEST

START_TEST(the_slice_is_the_option_or_the_environment_or_the_usual_one) {
    ck_assert_int_eq(CLI_CALL("sliver ls -s demo:x",
        { "GET /v1/slices/demo:x/credential", 200, CREDENTIAL_ANSWER("x"), NULL },
        { "GET /v1/slivers?slice=demo:x", 200, "{\"items\":[]}", NULL }), 0);
    setenv("JOGAK_SLICE", "demo:y", 1);
    ck_assert_int_eq(CLI_CALL("sliver ls",
        { "GET /v1/slices/demo:y/credential", 200, CREDENTIAL_ANSWER("y"), NULL },
        { "GET /v1/slivers?slice=demo:y", 200, "{\"items\":[]}", NULL }), 0);
}
END_TEST

/* --- drain --- */

START_TEST(drain_first_rehearsed_then_done) {
    ck_assert_int_eq(CLI_CALL("node drain h1 --dry-run", GIVE_OPERATOR,
        { "POST /v1/nodes/h1/drain", 200, "{\"node\":\"h1\",\"moves\":[{\"sliver\":\"a\",\"slice\":\"s\",\"target\":\"h2\"},"
          "{\"sliver\":\"b\",\"slice\":\"s\",\"problem\":\"not movable by its policy\"}]}", "{\"dry_run\":true}" }), 0);
    ck_assert_str_eq(cli_credential, "cred-operator");
    ck_assert_str_eq(cli_out, "SLIVER  SLICE  TO  PROBLEM\n"
                              "a       s      h2  -\n"
                              "b       s      -   not movable by its policy\n");
    ck_assert_int_eq(CLI_CALL("node drain h1 --wait",
        { "POST /v1/nodes/h1/drain", 202, "{\"id\":\"" OPERATION "\",\"kind\":\"drain\",\"state\":\"pending\"}", "{\"dry_run\":false}" },
        { "GET /v1/operations/" OPERATION, 200, "{\"id\":\"" OPERATION "\",\"kind\":\"drain\",\"state\":\"running\","
          "\"progress\":{\"total\":2,\"done\":1,\"moving\":1}}", NULL },
        { "GET /v1/operations/" OPERATION, 200, "{\"id\":\"" OPERATION "\",\"kind\":\"drain\",\"state\":\"done\"}", NULL }), 0);
    ck_assert_str_eq(cli_notes, "drain: running (1/2)\n");
    ck_assert_str_eq(cli_out, "node h1 is empty\n");
}
END_TEST

#define LOOKS(open) \
    "\"nodes\":[{\"node\":\"h1\",\"node_state\":\"ready\",\"at\":\"2026-11-23T04:00:00Z\",\"took_ms\":12," \
    "\"items\":20,\"open\":" open ",\"ignored\":1}]"
#define FOUND \
    "{\"id\":7,\"node\":\"h1\",\"kind\":\"tap\",\"name\":\"jg1\",\"what\":\"unclear\",\"cause\":\"look\"," \
    "\"repair\":\"none\",\"state\":\"open\",\"since\":\"2026-11-23T03:00:00Z\"}"
#define AUDIT_PATH(rest) "GET /v1/audit?limit=500&cursor=9223372036854775807" rest

START_TEST(an_audit_as_a_table) {
    ck_assert_int_eq(CLI_CALL("audit", GIVE_OPERATOR,
        { AUDIT_PATH("&state=open"), 200, "{" LOOKS("1") ",\"items\":[" FOUND "]}", NULL }), 0);
    ck_assert_str_eq(cli_credential, "cred-operator");
    ck_assert_str_eq(cli_out,
        "NODE  STATE  LOOKED AT            THINGS  OPEN  NOT OURS  PROBLEM\n"
        "h1    ready  2026-11-23 04:00:00  20      1     1         -\n"
        "\n"
        "NODE  KIND  NAME  WHAT     STATE  REPAIR  SINCE                CAUSE\n"
        "h1    tap   jg1   unclear  open   none    2026-11-23 03:00:00  look\n");
    ck_assert_int_eq(CLI_CALL("audit --run --node h1",
        { "POST /v1/audit", 202, "{\"id\":\"" OPERATION "\",\"kind\":\"audit\",\"state\":\"pending\"}", "{\"node\":\"h1\"}" },
        { "GET /v1/operations/" OPERATION, 200, "{\"id\":\"" OPERATION "\",\"kind\":\"audit\",\"state\":\"done\"}", NULL },
        { AUDIT_PATH("&node=h1&state=open"), 200, "{" LOOKS("0") ",\"items\":[]}", NULL }), 0);
    ck_assert_ptr_nonnull(strstr(cli_out, "\nnothing is open\n"));
    ck_assert_int_eq(CLI_CALL("audit --all -o json", /* two pages */
        { AUDIT_PATH(""), 200, "{" LOOKS("1") ",\"items\":[" FOUND "],\"next\":\"7\"}", NULL },
        { "GET /v1/audit?limit=500&cursor=7", 200, "{" LOOKS("1") ",\"items\":[" FOUND "]}", NULL }), 0);
    json *all AUTO_JSON = json_parse(cli_out, strlen(cli_out), NULL);
    ck_assert_uint_eq(json_length(json_get(all, "items")), 2);
}
END_TEST

#define MOVE_PLAN(possible) \
    "{\"slice\":\"demo:ring\",\"possible\":" possible ",\"moves\":[{\"sliver\":\"a\",\"slice\":\"demo:ring\",\"target\":\"h2\"}]}"

START_TEST(a_slice_moves_as_one) {
    ck_assert_int_eq(CLI_CALL("slice migrate demo:ring --away-from h1 -n", GIVE_CREDENTIAL,
        { "POST /v1/slices/demo:ring/migrate", 200, MOVE_PLAN("false"), "{\"dry_run\":true,\"away_from\":\"h1\"}" }), 0);
    ck_assert_str_eq(cli_out, "SLIVER  SLICE      TO  PROBLEM\na       demo:ring  h2  -\n");
    ck_assert_str_eq(cli_notes, "not possible like this: nothing would be moved\n");
    ck_assert_int_eq(CLI_CALL("slice migrate demo:ring --to h3 --parallel 2 --timeout 60 --wait",
        { "POST /v1/slices/demo:ring/migrate", 202, "{\"id\":\"" OPERATION "\",\"kind\":\"move\",\"state\":\"pending\"}",
          "{\"dry_run\":false,\"parallel\":2,\"timeout_s\":60,\"to\":\"h3\"}" },
        { "GET /v1/operations/" OPERATION, 200, "{\"id\":\"" OPERATION "\",\"kind\":\"move\",\"state\":\"running\","
          "\"progress\":{\"doing\":\"moving slivers\",\"total\":2,\"done\":1,\"moving\":1,\"slivers\":[]}}", NULL },
        { "GET /v1/operations/" OPERATION, 200, "{\"id\":\"" OPERATION "\",\"kind\":\"move\",\"state\":\"done\"}", NULL }), 0);
    ck_assert_str_eq(cli_notes, "moving slivers (1/2)\n");
    ck_assert_str_eq(cli_out, "the slivers of slice demo:ring are where they should be\n");
    ck_assert_int_eq(CLI_QUIET("slice migrate demo:ring --parallel 0"), 2);
    ck_assert_int_eq(CLI_QUIET("slice migrate demo:ring --to h1 --away-from h2"), 2);
}
END_TEST

/* --- apply --- */

#define TOPOLOGY "{\"slivers\":[{\"name\":\"a\",\"image\":\"guest\"},{\"name\":\"b\",\"image\":\"guest\"}]}"
static char file[96], apply[160];

static void write_file(const char *text) {
    snprintf(file, sizeof file, "%s/two.yaml", cli_dir);
    snprintf(apply, sizeof apply, "apply -f %s", file);
    ck_assert_int_eq(file_write(file, text, strlen(text), 0600, NULL), 0);
}

static const char two[] = "slivers:\n  - name: a\n    image: guest\n  - name: b\n    image: guest\n";

START_TEST(apply_makes_what_is_missing) {
    write_file(two);
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL,
        { "POST /v1/slices/demo:ring/plan", 200,
          "{\"create\":[\"b\"],\"replace\":[],\"delete\":[],\"keep\":[\"a\"]}", "{\"topology\":" TOPOLOGY "}" },
        { "POST /v1/reservations", 201, "{\"id\":\"r1\"}", "{\"slice\":\"demo:ring\",\"topology\":" TOPOLOGY "}" },
        { "POST /v1/reservations/r1/provision", 202, PENDING, "{}" },
        { "GET /v1/operations/" OPERATION, 200, "{\"id\":\"" OPERATION "\",\"kind\":\"provision\",\"state\":\"running\","
          "\"progress\":{\"doing\":\"creating\",\"sliver\":\"b\",\"done\":0,\"total\":1}}", NULL },
        { "GET /v1/operations/" OPERATION, 200, DONE, NULL }), 0);
    ck_assert_str_eq(cli_out, "+ create b\n1 to create, 0 to replace, 0 to delete, 1 to keep\n"
                              "slice demo:ring is as the file says\n");
    ck_assert_str_eq(cli_notes, "creating b (0/1)\n");
}
END_TEST

#define CHANGES \
    "{\"create\":[\"b\"],\"replace\":[{\"name\":\"a\",\"why\":\"image\"}],\"delete\":[\"c\"],\"keep\":[]}"
#define HAS_IMAGE { "GET /v1/images/guest", 200, "{\"name\":\"guest\"}", NULL }
#define CHANGES_TEXT \
    "+ create b\n~ replace a (image)\n- delete c\n1 to create, 1 to replace, 1 to delete, 0 to keep\n"

START_TEST(apply_asks_before_it_destroys) {
    write_file(two);
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL, { "POST /v1/slices/demo:ring/plan", 200, CHANGES, NULL }, HAS_IMAGE), 1);
    ck_assert_str_eq(cli_out, CHANGES_TEXT);
    ck_assert_str_eq(cli_notes, "jogak: nobody can be asked here: 2 slivers are destroyed with their disks; go on?\n"
                                "  hint: add --yes when that is what you want\n");
    cli_notes_tty = true;
    cli_typed = "n\n";
    ck_assert_int_eq(CLI_CALL(apply, { "POST /v1/slices/demo:ring/plan", 200, CHANGES, NULL }, HAS_IMAGE), 1);
    ck_assert_str_eq(cli_notes, "2 slivers are destroyed with their disks; go on? [y/N] jogak: nothing was changed\n");
}
END_TEST

START_TEST(apply_releases_before_it_reserves) {
    write_file(two);
    strcat(apply, " --yes --no-wait");
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL,
        { "POST /v1/slices/demo:ring/plan", 200, CHANGES, NULL }, HAS_IMAGE,
        { "POST /v1/slices/demo:ring/release", 202, PENDING, "{\"slivers\":[\"a\",\"c\"]}" },
        { "GET /v1/operations/" OPERATION, 200, DONE, NULL },
        { "POST /v1/reservations", 201, "{\"id\":\"r1\"}", NULL },
        { "POST /v1/reservations/r1/provision", 202, PENDING, "{}" }), 0);
    ck_assert_str_eq(cli_out, CHANGES_TEXT "operation " OPERATION " has begun\n");
}
END_TEST

START_TEST(apply_destroys_nothing_for_an_image_that_is_not_there) {
    char says[300];
    write_file(two);
    strcat(apply, " --yes");
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL,
        { "POST /v1/slices/demo:ring/plan", 200, CHANGES, NULL },
        { "GET /v1/images/guest", 404, "{\"code\":\"not_found\",\"detail\":\"there is no image guest\"}", NULL }), 1);
    snprintf(says, sizeof says, "jogak: %s:3:12: /slivers/0/image: there is no image guest\n"
             "  hint: nothing was changed; see `jogak image list`\n", file);
    ck_assert_str_eq(cli_notes, says);
}
END_TEST

START_TEST(apply_with_nothing_to_do) {
    write_file(two);
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL, { "POST /v1/slices/demo:ring/plan", 200,
        "{\"create\":[],\"replace\":[],\"delete\":[],\"keep\":[\"a\",\"b\"]}", NULL }), 0);
    ck_assert_str_eq(cli_out, "nothing to do: 2 slivers are as they should be\n");
}
END_TEST

START_TEST(apply_says_where_the_file_is_wrong) {
    write_file(two);
    char says[256];
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL, { "POST /v1/slices/demo:ring/plan", 400,
        "{\"code\":\"invalid\",\"detail\":\"body: /topology/slivers/1/image: is too short\"}", NULL }), 1);
    snprintf(says, sizeof says, "jogak: %s:5:12: /slivers/1/image: is too short\n", file);
    ck_assert_str_eq(cli_notes, says);
    ck_assert_int_eq(CLI_CALL(apply, { "POST /v1/slices/demo:ring/plan", 422,
        "{\"code\":\"unprocessable\",\"detail\":\"/slivers/0/vnics/0/link: there is no link \\\"lan\\\"\","
        "\"remedy\":\"declare it under links:\"}", NULL }), 1);
    snprintf(says, sizeof says, "jogak: %s:2:5: /slivers/0/vnics/0/link: there is no link \"lan\"\n"
                                "  hint: declare it under links:\n", file);
    ck_assert_str_eq(cli_notes, says);
    write_file("slivers:\n  - name: [a\n");
    ck_assert_int_eq(CLI_QUIET(apply), 1);
    ck_assert_ptr_nonnull(strstr(cli_notes, "two.yaml:3:1: "));
}
END_TEST

START_TEST(apply_tells_why_it_failed) {
    write_file(two);
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL,
        { "POST /v1/slices/demo:ring/plan", 200, "{\"create\":[\"a\",\"b\"],\"replace\":[],\"delete\":[],\"keep\":[]}", NULL },
        { "POST /v1/reservations", 201, "{\"id\":\"r1\"}", NULL },
        { "POST /v1/reservations/r1/provision", 202, PENDING, "{}" },
        { "GET /v1/operations/" OPERATION, 0, NULL, NULL }, /* the aggregate starts again */
        { "GET /v1/operations/" OPERATION, 200, "{\"id\":\"" OPERATION "\",\"kind\":\"provision\",\"state\":\"failed\","
          "\"error\":{\"code\":\"unavailable\",\"message\":\"node h1: libvirt does not answer\",\"remedy\":\"start libvirtd\"}}", NULL }), 1);
    ck_assert_str_eq(cli_notes, "the aggregate does not answer; waiting for it\n"
                                "jogak: node h1: libvirt does not answer\n  hint: start libvirtd\n");
}
END_TEST

START_TEST(refusal_of_a_placement_in_words) {
    write_file(two);
    ck_assert_int_eq(CLI_CALL(apply, GIVE_CREDENTIAL,
        { "POST /v1/slices/demo:ring/plan", 200, "{\"create\":[\"a\",\"b\"],\"replace\":[],\"delete\":[],\"keep\":[]}", NULL },
        { "POST /v1/reservations", 507, "{\"code\":\"no_space\",\"detail\":\"no node can take sliver a (h1: memory_mib 128 needed, 64 free)\","
          "\"remedy\":\"see `jogak node list`; ask for less, or free some\",\"reasons\":[{\"sliver\":\"a\"}]}", NULL }), 1);
    ck_assert_str_eq(cli_notes, "jogak: no node can take sliver a (h1: memory_mib 128 needed, 64 free)\n"
                                "  hint: see `jogak node list`; ask for less, or free some\n");
}
END_TEST

#define NO_PLACE "no node can take sliver a (h1: memory_mib 9000 needed, 64 free)"
#define IMPOSSIBLE \
    "{\"create\":[],\"replace\":[{\"name\":\"a\",\"why\":\"memory_mib\"}],\"delete\":[],\"keep\":[\"b\"]," \
    "\"problem\":\"" NO_PLACE "\",\"refused\":[]}"

/* The list of calls is all that may happen: nothing is released. */
START_TEST(nothing_is_destroyed_for_what_has_no_place) {
    write_file(two);
    char yes[180];
    snprintf(yes, sizeof yes, "%s --yes", apply);
    ck_assert_int_eq(CLI_CALL(yes, GIVE_CREDENTIAL,
        { "POST /v1/slices/demo:ring/plan", 200, IMPOSSIBLE, NULL }), 1);
    ck_assert_str_eq(cli_notes, "jogak: " NO_PLACE "\n"
                                "  hint: nothing was changed; see `jogak node list`; ask for less, or free some\n");
    ck_assert_str_eq(cli_out, "~ replace a (memory_mib)\n! not possible: " NO_PLACE "\n"
                              "0 to create, 1 to replace, 0 to delete, 1 to keep\n");
}
END_TEST

START_TEST(a_retired_node_comes_back) {
    ck_assert_int_eq(CLI_CALL("node ready h1", GIVE_OPERATOR,
        { "PATCH /v1/nodes/h1", 200, "{\"name\":\"h1\",\"state\":\"joining\"}", "{\"state\":\"ready\"}" }), 0);
    ck_assert_str_eq(cli_out, "node h1 is joining; it is ready when its agent has reported\n");
}
END_TEST

/* --- the rest --- */

START_TEST(tokens_stand_alone_on_standard_output) {
    ck_assert_int_eq(CLI_CALL("node token h1", { "POST /v1/enrollments", 201,
        "{\"token\":\"secret\",\"urn\":\"" CLI_URN "node+h1\",\"expires\":\"2026-11-24T10:00:00Z\"}",
        "{\"type\":\"node\",\"name\":\"h1\"}" }), 0);
    ck_assert_str_eq(cli_out, "secret\n");
    ck_assert_str_eq(cli_notes, "for " CLI_URN "node+h1; good once, until 2026-11-24 10:00:00 (24 h)\n");
}
END_TEST

START_TEST(events_line_by_line) {
    ck_assert_int_eq(CLI_CALL("events", GIVE_CREDENTIAL, { "GET /v1/events?slice=demo:ring", 200,
        "id: 7\nevent: sliver.state\ndata: {\"time\":\"2026-11-23T10:00:00.000Z\",\"kind\":\"sliver.state\","
        "\"data\":{\"name\":\"a\",\"from\":\"ready\",\"state\":\"migrating\"}}\n\n: still here\n\n", NULL }), 0);
    ck_assert_str_eq(cli_out, "2026-11-23 10:00:00  sliver.state          name=a from=ready state=migrating\n");
}
END_TEST

START_TEST(status_of_all) {
    ck_assert_int_eq(CLI_CALL("status",
        { "GET /v1", 200, "{\"version\":\"0.1.0\",\"time\":\"2026-11-23T10:00:00.000Z\"}", NULL },
        { "GET /v1", 0, NULL, NULL },
        { "GET /v1", 200, "{\"version\":\"0.1.0\",\"time\":\"2026-11-23T10:01:00.000Z\"}", NULL }), 1);
    ck_assert_str_eq(cli_out,
        "SERVICE        STATE  VERSION  ANSWER  CLOCK  URL                     PROBLEM\n"
        "clearinghouse  up     0.1.0    0 us    same   https://127.0.0.1:8401  -\n"
        "aggregate      down   -        -       -      https://127.0.0.1:8402  the aggregate (https://127.0.0.1:8402) cannot be reached: Connection refused\n"
        "sliverstore    up     0.1.0    0 us    +60 s  https://127.0.0.1:8403  -\n"
        "\nyou are kim; your certificate is good until 2026-12-23 10:00:00 (30 days)\n");
    ck_assert_str_eq(cli_notes, "jogak: 1 of 3 services cannot be used\n");
}
END_TEST

START_TEST(keys_are_added_and_private_ones_refused) {
    snprintf(file, sizeof file, "%s/key", cli_dir);
    char line[128];
    snprintf(line, sizeof line, "user key add %s", file);
    file_write(file, "ssh-ed25519 AAAA kim\n", 21, 0600, NULL);
    ck_assert_int_eq(CLI_CALL(line, { "GET /v1/users/self", 200, "{\"ssh_keys\":[\"ssh-rsa BBBB\"]}", NULL },
        { "PATCH /v1/users/self", 200, "{}", "{\"ssh_keys\":[\"ssh-rsa BBBB\",\"ssh-ed25519 AAAA kim\"]}" }), 0);
    file_write(file, "-----BEGIN OPENSSH PRIVATE KEY-----\n", 36, 0600, NULL);
    ck_assert_int_eq(CLI_QUIET(line), 1);
    ck_assert_ptr_nonnull(strstr(cli_notes, "it stays with you"));
}
END_TEST

static void add(TCase *t) {
    tcase_add_test(t, nodes_as_a_table);
    tcase_add_test(t, an_audit_as_a_table);
    tcase_add_test(t, pages_are_joined);
    tcase_add_test(t, a_sliver_by_name);
    tcase_add_test(t, foreign_texts_cannot_speak_to_the_terminal);
    tcase_add_test(t, errors_are_sentences);
    tcase_add_test(t, a_credential_that_was_overtaken_is_fetched_anew);
    tcase_add_test(t, the_slice_is_the_option_or_the_environment_or_the_usual_one);
    tcase_add_test(t, drain_first_rehearsed_then_done);
    tcase_add_test(t, a_slice_moves_as_one);
    tcase_add_test(t, apply_makes_what_is_missing);
    tcase_add_test(t, apply_asks_before_it_destroys);
    tcase_add_test(t, apply_releases_before_it_reserves);
    tcase_add_test(t, apply_destroys_nothing_for_an_image_that_is_not_there);
    tcase_add_test(t, apply_with_nothing_to_do);
    tcase_add_test(t, apply_says_where_the_file_is_wrong);
    tcase_add_test(t, apply_tells_why_it_failed);
    tcase_add_test(t, refusal_of_a_placement_in_words);
    tcase_add_test(t, nothing_is_destroyed_for_what_has_no_place);
    tcase_add_test(t, a_retired_node_comes_back);
    tcase_add_test(t, tokens_stand_alone_on_standard_output);
    tcase_add_test(t, events_line_by_line);
    tcase_add_test(t, status_of_all);
    tcase_add_test(t, keys_are_added_and_private_ones_refused);
}

int main(void) { return cli_suite("cli.transcript", add); }
