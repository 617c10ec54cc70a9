#include "nouns.h"

#include "enrolment.h"
#include "format.h"
#include "moves.h"
#include "operation.h"

/* "3 of 8" out of total and used, which stand beside each other. */
static char *share(const json *node, const char *what, char *(*text)(const json *)) {
    char path[40];
    snprintf(path, sizeof path, "used.%s", what);
    char *used AUTO_FREE = text(json_path(node, path));
    snprintf(path, sizeof path, "total.%s", what);
    char *total AUTO_FREE = text(json_path(node, path));
    if (!json_path(node, path)) return xstrdup("-");
    return xasprintf("%s of %s", used, total);
}
static char *vcpus(const json *node) { return share(node, "vcpus", format_plain); }
static char *memory(const json *node) { return share(node, "memory_mib", format_mib); }
static char *disk(const json *node) { return share(node, "disk_mib", format_mib); }

static const struct column columns[] = {
    { "NAME", "name", NULL },   { "STATE", "state", NULL }, { "SLIVERS", "slivers", NULL },
    { "VCPUS", "", vcpus },     { "MEMORY", "", memory },   { "DISK", "", disk },
    { "HEARD", "heard_ms", format_age_ms }, { "HOST", "host", NULL }, COLUMN_END,
};
static const struct column lines[] = {
    { "name", "name", NULL },     { "urn", "urn", NULL },   { "state", "state", NULL },
    { "host", "host", NULL },     { "vtep", "vtep", NULL }, { "site", "site", NULL }, { "heard", "heard_ms", format_age_ms },
    { "lease until", "lease_until", NULL }, { "lease over", "lease_over", NULL },
    { "slivers", "slivers", NULL }, { "vcpus", "", vcpus }, { "memory", "", memory },
    { "disk", "", disk },         { "capabilities", "capabilities", NULL }, COLUMN_END,
};

static int list(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    json *items AUTO_JSON = s ? session_list(s, SESSION_AGGREGATE, NULL, err, "/v1/nodes") : NULL;
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

static int show(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    json *node AUTO_JSON = s ? session_json(s, SESSION_AGGREGATE, NULL, "GET", NULL, err,
                                            "/v1/nodes/%s", cli_arg(cli, 0))
                             : NULL;
    if (!node) return -1;
    output_object(&cli->output, node, lines);
    return 0;
}

static int token(struct cli *cli, struct err *err) {
    return enrolment_run(cli, "node", cli_arg(cli, 0), err);
}

static int set_state(struct cli *cli, const char *state, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    json *node AUTO_JSON = session_json(s, SESSION_AGGREGATE, SESSION_AS_OPERATOR, "PATCH",
                                        json_set_str(json_object(), "state", state), err,
                                        "/v1/nodes/%s", cli_arg(cli, 0));
    if (!node) return -1;
    const char *is = json_get_str(node, "state");
    bool joining = is && !strcmp(is, "joining");
    output_said(&cli->output, node, "node %s is %s%s", cli_arg(cli, 0), is ? is : state,
                joining ? "; it is ready when its agent has reported" : "");
    return 0;
}

static int ready(struct cli *cli, struct err *err) { return set_state(cli, "ready", err); }

static int retire(struct cli *cli, struct err *err) {
    if (cli_confirm(cli, err, "retire node %s?", cli_arg(cli, 0))) return -1;
    return set_state(cli, "retired", err);
}

/* --- drain --- */

static json *ask_drain(struct cli *cli, bool dry_run, struct err *err) {
    json *body AUTO_JSON = moves_body(cli, dry_run, err);
    if (!body) return NULL;
    return session_json(&cli->session, SESSION_AGGREGATE, SESSION_AS_OPERATOR, "POST", STEAL(body), err,
                        "/v1/nodes/%s/drain", cli_arg(cli, 0));
}

static int rehearse(struct cli *cli, struct err *err) {
    json *plan AUTO_JSON = ask_drain(cli, true, err);
    if (!plan) return -1;
    char *none AUTO_FREE = xasprintf("node %s has no slivers", cli_arg(cli, 0));
    return moves_plan(cli, plan, none);
}

static int drain(struct cli *cli, struct err *err) {
    if (!cli_session(cli, err)) return -1;
    if (cli_flag(cli, "dry-run")) return rehearse(cli, err);
    json *accepted AUTO_JSON = ask_drain(cli, false, err);
    if (!accepted) return -1;
    const char *id = json_get_str(accepted, "id");
    if (!cli_flag(cli, "wait")) {
        output_said(&cli->output, accepted,
                    "node %s is draining; to wait for it: jogak operation wait --all %s",
                    cli_arg(cli, 0), id ? id : "");
        return 0;
    }
    char *done AUTO_FREE = xasprintf("node %s is empty", cli_arg(cli, 0));
    return operation_follow(cli, SESSION_AS_OPERATOR, accepted, done, err);
}

static const struct option_row drain_options[] = {
    { "dry-run", 'n', NULL, "Only say what would move where" },
    { "wait", 'w', NULL, "Wait until the node is empty" },
    OPTION_MOVES, OPTION_END,
};
static const struct option_row retire_options[] = { OPTION_YES, OPTION_END };

static const struct command rows[] = {
    { "list", NULL, "List the nodes and how full they are", list, NULL, NULL },
    { "show", "NODE", "Show a node and what it can do", show, NULL, NULL },
    { "token", "NODE", "Make a one-time token with which a node's agent joins (operators)", token,
      enrolment_options, NULL },
    { "drain", "NODE", "Move everything away from a node (operators)", drain, drain_options, NULL },
    { "ready", "NODE", "Let a drained, quarantined or retired node take slivers again (operators)", ready,
      NULL, NULL },
    { "retire", "NODE", "Take a node out for good (operators)", retire, retire_options, NULL },
    { 0 },
};
const struct command_group node_group = { "node", "The servers that slivers run on", rows };
