#include "nouns.h"

#include "format.h"
#include "operation.h"

static const struct column looks[] = {
    { "NODE", "node", NULL },   { "STATE", "node_state", NULL }, { "LOOKED AT", "at", format_time },
    { "THINGS", "items", NULL }, { "OPEN", "open", NULL },       { "NOT OURS", "ignored", NULL },
    { "PROBLEM", "problem", NULL }, COLUMN_END,
};
static const struct column findings[] = {
    { "NODE", "node", NULL },  { "KIND", "kind", NULL },     { "NAME", "name", NULL },
    { "WHAT", "what", NULL },  { "STATE", "state", NULL },   { "REPAIR", "repair", NULL },
    { "SINCE", "since", format_time }, { "CAUSE", "cause", NULL }, COLUMN_END,
};

/* All pages; the nodes of the first. */
static json *fetch(struct cli *cli, const char *node, const char *state, struct err *err) {
    json *all AUTO_JSON = NULL;
    char *cursor AUTO_FREE = xstrdup("9223372036854775807");
    for (;;) {
        json *page AUTO_JSON = session_json(
            &cli->session, SESSION_AGGREGATE, SESSION_AS_OPERATOR, "GET", NULL, err,
            "/v1/audit?limit=500&cursor=%s%s%s%s%s", cursor, node ? "&node=" : "", node ? node : "",
            state ? "&state=" : "", state ? state : "");
        if (!page) return NULL;
        const json *items = json_get(page, "items");
        if (!all) all = json_ref(page);
        else
            for (size_t i = 0; i < json_length(items); i++)
                json_add(json_get(all, "items"), json_ref(json_at(items, i)));
        const char *next = json_get_str(page, "next");
        if (!next) break;
        free(cursor);
        cursor = xstrdup(next);
    }
    json_del(all, "next");
    return STEAL(all);
}

/* What an operator wants to see first: what is open; repaired and foreign things only with --all. */
static json *chosen(const json *items, bool all) {
    json *out = json_array();
    for (size_t i = 0; i < json_length(items); i++) {
        const char *state = json_get_str(json_at(items, i), "state");
        if (all || (state && strcmp(state, "open") == 0)) json_add(out, json_ref(json_at(items, i)));
    }
    return out;
}

static int run_now(struct cli *cli, const char *node, struct err *err) {
    json *body = json_object();
    if (node) json_set_str(body, "node", node);
    json *accepted AUTO_JSON = session_json(&cli->session, SESSION_AGGREGATE, SESSION_AS_OPERATOR,
                                            "POST", body, err, "/v1/audit");
    const char *id = accepted ? json_get_str(accepted, "id") : NULL;
    return id ? operation_wait(cli, SESSION_AS_OPERATOR, id, NULL, err) : -1;
}

static int audit(struct cli *cli, struct err *err) {
    const char *node = cli_option(cli, "node");
    if (!cli_session(cli, err)) return -1;
    struct err late = ERR_INIT;
    /* What was found at the nodes that did answer is shown all the same. */
    int failed = cli_flag(cli, "run") ? run_now(cli, node, &late) : 0;
    bool all = cli_flag(cli, "all");
    json *audit AUTO_JSON = fetch(cli, node, all ? NULL : "open", err);
    if (!audit) return -1;
    json *items AUTO_JSON = chosen(json_get(audit, "items"), all);
    if (output_is_json(&cli->output)) {
        json_set(audit, "items", json_ref(items));
        output_object(&cli->output, audit, looks);
    } else {
        output_list(&cli->output, json_get(audit, "nodes"), looks);
        if (json_length(items)) {
            fputc('\n', cli->out);
            output_list(&cli->output, items, findings);
        } else {
            fputs(all ? "\nnothing was found\n" : "\nnothing is open\n", cli->out);
        }
    }
    if (failed) *err = late;
    return failed;
}

static const struct option_row options[] = {
    { "run", 'r', NULL, "Look at the nodes now, and wait until what can be repaired is" },
    { "node", 'n', "NODE", "One node only" },
    { "all", 'a', NULL, "Also what was repaired, and what is not ours and is left alone" },
    OPTION_END,
};
static const struct command rows[] = {
    { "", NULL, "Show what nodes have that they should not, and lack that they should (operators)",
      audit, options,
      "The aggregate compares every node with what should be there, continuously: domains, switch ports,\n"
      "flows, taps and files. What is ours and in the wrong place is removed, a sliver whose guest has\n"
      "ended is no longer called ready. What is not ours is only counted; what is not known is shown\n"
      "as open until somebody has looked." },
    { 0 },
};
const struct command_group audit_group = { "audit", "What nodes have and should not, or lack", rows };
