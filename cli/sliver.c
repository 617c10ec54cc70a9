#include "sliver.h"

#include "format.h"
#include "nouns.h"
#include "operation.h"

static char *addresses(const json *vnics) {
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < json_length(vnics); i++) {
        const json *list = json_get(json_at(vnics, i), "addresses");
        for (size_t k = 0; k < json_length(list); k++)
            buf_printf(&b, "%s%s", b.length ? ", " : "", json_str(json_at(list, k)));
        const char *outside = json_get_str(json_at(vnics, i), "public_address");
        if (outside) buf_printf(&b, "%spublic %s", b.length ? ", " : "", outside);
    }
    return b.length ? buf_steal(&b) : xstrdup("-");
}

static char *vnics(const json *list) {
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < json_length(list); i++) {
        const json *v = json_at(list, i);
        char *at AUTO_FREE = format_plain(json_get(v, "addresses"));
        const char *name = json_get_str(v, "name"), *link = json_get_str(v, "link");
        const char *mac = json_get_str(v, "mac");
        int64_t rate = json_get_int(v, "rate_kbps", 0);
        buf_printf(&b, "%s%s on %s  %s  %s", b.length ? "\n" : "", name ? name : "?",
                   link ? link : "?", mac ? mac : "?", at);
        const char *outside = json_get_str(v, "public_address");
        if (outside) buf_printf(&b, "  public %s", outside);
        if (rate) buf_printf(&b, "  %lld kbit/s", (long long)rate);
    }
    return b.length ? buf_steal(&b) : xstrdup("-");
}

static const struct column columns[] = {
    { "NAME", "name", NULL },   { "STATE", "state", NULL },         { "NODE", "node", NULL },
    { "VCPUS", "vcpus", NULL }, { "MEMORY", "memory_mib", format_mib }, { "IMAGE", "image", NULL },
    { "ADDRESSES", "vnics", addresses }, { "REASON", "reason", NULL }, COLUMN_END,
};
static const struct column lines[] = {
    { "name", "name", NULL },   { "id", "id", NULL },       { "urn", "urn", NULL },
    { "state", "state", NULL }, { "reason", "reason", NULL }, { "allocation", "allocation", NULL },
    { "node", "node", NULL },   { "epoch", "epoch", NULL }, { "kind", "kind", NULL },
    { "image", "image", NULL }, { "vcpus", "vcpus", NULL }, { "memory", "memory_mib", format_mib },
    { "disk", "disk_mib", format_mib }, { "vnics", "vnics", vnics },
    { "operation", "operation", NULL }, { "created", "created", format_time }, COLUMN_END,
};

json *sliver_list(struct cli *cli, const char *slice, struct err *err) {
    return session_list(&cli->session, SESSION_AGGREGATE, slice, err, "/v1/slivers?slice=%s",
                        slice);
}

json *sliver_named(struct cli *cli, const char *name, const char **ret_slice, struct err *err) {
    const char *slice = cli_slice(cli, err);
    json *all AUTO_JSON = slice ? sliver_list(cli, slice, err) : NULL;
    if (!all) return NULL;
    *ret_slice = slice;
    for (size_t i = 0; i < json_length(all); i++) {
        const char *is = json_get_str(json_at(all, i), "name");
        const char *id = json_get_str(json_at(all, i), "id");
        if (id && is && (!strcmp(is, name) || !strcmp(id, name))) return json_ref(json_at(all, i));
    }
    err_set(err, ERR_NOT_FOUND, "there is no sliver %s in slice %s", name, slice);
    err_remedy(err, "see `jogak sliver list --slice %s`", slice);
    return NULL;
}

static int list_node(struct cli *cli, const char *node, struct err *err) {
    struct session *s = cli_session(cli, err);
    json *all AUTO_JSON = s ? session_list(s, SESSION_AGGREGATE, SESSION_AS_OPERATOR, err,
                                           "/v1/slivers?node=%s", node)
                            : NULL;
    if (!all) return -1;
    output_list(&cli->output, all, columns);
    return 0;
}

static int list(struct cli *cli, struct err *err) {
    if (cli_option(cli, "node")) return list_node(cli, cli_option(cli, "node"), err);
    const char *slice = cli_slice(cli, err);
    json *all AUTO_JSON = slice ? sliver_list(cli, slice, err) : NULL;
    if (!all) return -1;
    output_list(&cli->output, all, columns);
    return 0;
}

static int show(struct cli *cli, struct err *err) {
    const char *slice;
    json *one AUTO_JSON = sliver_named(cli, cli_arg(cli, 0), &slice, err);
    if (!one) return -1;
    output_object(&cli->output, one, lines);
    return 0;
}

static int power(struct cli *cli, const char *action, const char *done, struct err *err) {
    const char *slice;
    json *one AUTO_JSON = sliver_named(cli, cli_arg(cli, 0), &slice, err);
    if (!one) return -1;
    json *accepted AUTO_JSON =
        session_json(&cli->session, SESSION_AGGREGATE, slice, "POST",
                     json_set_str(json_object(), "action", action), err, "/v1/slivers/%s/power",
                     json_get_str(one, "id"));
    if (!accepted) return -1;
    char *text AUTO_FREE = xasprintf("sliver %s %s", json_get_str(one, "name"), done);
    return operation_follow(cli, slice, accepted, text, err);
}

static int start(struct cli *cli, struct err *err) { return power(cli, "start", "runs", err); }
static int stop(struct cli *cli, struct err *err) { return power(cli, "stop", "is stopped", err); }
static int reboot(struct cli *cli, struct err *err) { return power(cli, "reboot", "reboots", err); }

static int drop(struct cli *cli, struct err *err) {
    const char *slice = cli_slice(cli, err);
    if (!slice) return -1;
    json *names AUTO_JSON = json_array();
    for (size_t i = 0; i < cli->arg_count; i++) json_add(names, json_string(cli_arg(cli, i)));
    char *text AUTO_FREE = format_plain(names);
    if (cli_confirm(cli, err, "delete %s of slice %s, with their disks?", text, slice)) return -1;
    json *accepted AUTO_JSON = session_json(&cli->session, SESSION_AGGREGATE, slice, "POST",
                                            json_set(json_object(), "slivers", STEAL(names)), err,
                                            "/v1/slices/%s/release", slice);
    if (!accepted) return -1;
    char *done AUTO_FREE = xasprintf("deleted: %s", text);
    return operation_follow(cli, slice, accepted, done, err);
}

static const struct column checkpoint_columns[] = {
    { "ID", "id", format_id },         { "STATE", "state", NULL },      { "TAKEN", "taken", format_time },
    { "PAUSE MS", "pause_ms", NULL },  { "BYTES", "bytes_total", NULL }, { "NEW", "bytes_new", NULL },
    { "NODE", "node", NULL },          { "EPOCH", "epoch", NULL },      COLUMN_END,
};

static int checkpoints(struct cli *cli, struct err *err) {
    const char *slice;
    json *one AUTO_JSON = sliver_named(cli, cli_arg(cli, 0), &slice, err);
    json *all AUTO_JSON = one ? session_list(&cli->session, SESSION_AGGREGATE, slice, err,
                                             "/v1/slivers/%s/checkpoints", json_get_str(one, "id"))
                              : NULL;
    if (!all) return -1;
    output_list(&cli->output, all, checkpoint_columns);
    return 0;
}

static int checkpoint(struct cli *cli, struct err *err) {
    const char *slice;
    json *one AUTO_JSON = sliver_named(cli, cli_arg(cli, 0), &slice, err);
    json *accepted AUTO_JSON =
        one ? session_json(&cli->session, SESSION_AGGREGATE, slice, "POST", NULL, err,
                           "/v1/slivers/%s/checkpoints", json_get_str(one, "id"))
            : NULL;
    if (!accepted) return -1;
    char *text AUTO_FREE = xasprintf("sliver %s has another checkpoint", json_get_str(one, "name"));
    return operation_follow(cli, slice, accepted, text, err);
}

static const struct option_row list_options[] = {
    OPTION_SLICE, { "node", 0, "NODE", "All slivers on a node instead (operators)" }, OPTION_END,
};
static const struct option_row one_options[] = { OPTION_SLICE, OPTION_END };
static const struct option_row power_options[] = { OPTION_SLICE, OPTION_NO_WAIT, OPTION_END };
static const struct option_row delete_options[] = {
    OPTION_SLICE, OPTION_YES, OPTION_NO_WAIT, OPTION_END,
};

#define CONSOLE_ABOUT \
    "What the sliver wrote last is shown first. Ctrl-] leaves. When standard input is not a\n" \
    "terminal, what it holds is typed, and the console is left two seconds after the last output."

static const struct command rows[] = {
    { "list", NULL, "List the slivers of a slice", list, list_options, NULL },
    { "show", "SLIVER", "Show a sliver", show, one_options, NULL },
    { "start", "SLIVER", "Start a stopped sliver", start, power_options, NULL },
    { "stop", "SLIVER", "Stop a sliver; its disk stays", stop, power_options, NULL },
    { "reboot", "SLIVER", "Reboot a sliver", reboot, power_options, NULL },
    { "console", "SLIVER", "Open a sliver's serial console", console_run, one_options,
      CONSOLE_ABOUT },
    { "checkpoint", "SLIVER", "Save the state of a running sliver in the sliver store", checkpoint,
      power_options, NULL },
    { "checkpoints", "SLIVER", "List what a sliver could be resumed from", checkpoints, one_options,
      NULL },
    { "delete", "SLIVER...", "Delete slivers, with their disks", drop, delete_options, NULL },
    { 0 },
};
const struct command_group sliver_group = { "sliver", "Slivers: the virtual machines of a slice",
                                            rows };

static const struct command console_rows[] = {
    { "", "SLIVER", "Open a sliver's serial console", console_run, one_options, CONSOLE_ABOUT },
    { 0 },
};
const struct command_group console_group = { "console", "Open a sliver's serial console",
                                             console_rows };
