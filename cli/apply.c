/*
 * apply: make a slice what a file says.
 *
 * The aggregate compares (plan); what is replaced or deleted is released first, so that its names
 * and its capacity are free; then one reservation is made for all that is missing, and provisioned.
 * Every step can be repeated: an apply that was broken off is finished by running it again.
 */
#include "nouns.h"

#include "operation.h"
#include "plan.h"
#include "topology_file.h"

/* The slice: --slice, or the file's own, or the usual one. */
static const char *slice_of(struct cli *cli, const struct topology_file *f, struct err *err) {
    const char *own = json_get_str(f->topology, "slice");
    if (cli_option(cli, "slice") || !own) return cli_slice(cli, err);
    if (!cli_session(cli, err)) return NULL;
    if (session_slice_valid(own, err) == 0) return own;
    char *what AUTO_FREE = xstrdup(err->msg);
    err_set(err, ERR_INVALID, "%s: %s", yaml_place(f->places, "/slice"), what);
    return NULL;
}

static json *ask_plan(struct cli *cli, const struct topology_file *f, const char *slice,
                      struct err *err) {
    json *plan = session_json(&cli->session, SESSION_AGGREGATE, slice, "POST",
                              json_set(json_object(), "topology", json_ref(f->topology)), err,
                              "/v1/slices/%s/plan", slice);
    if (!plan) topology_file_locate(f, err);
    return plan;
}

static int release(struct cli *cli, const char *slice, json *names, struct err *err) {
    json *owned AUTO_JSON = names;
    if (!json_length(owned)) return 0;
    json *accepted AUTO_JSON =
        session_json(&cli->session, SESSION_AGGREGATE, slice, "POST",
                     json_set(json_object(), "slivers", STEAL(owned)), err, "/v1/slices/%s/release",
                     slice);
    const char *id = json_get_str(accepted, "id");
    if (!accepted) return -1;
    if (!id) return err_set(err, ERR_INTERNAL, "the aggregate answered without an operation");
    return operation_wait(cli, slice, id, NULL, err);
}

static json *reserve(struct cli *cli, const struct topology_file *f, const char *slice,
                     struct err *err) {
    json *body = json_set_str(json_object(), "slice", slice);
    json_set(body, "topology", json_ref(f->topology));
    json *reservation = session_json(&cli->session, SESSION_AGGREGATE, slice, "POST", body, err,
                                     "/v1/reservations");
    if (reservation) return reservation;
    topology_file_locate(f, err);
    return NULL;
}

static int provision(struct cli *cli, const struct topology_file *f, const char *slice,
                     struct err *err) {
    json *reservation AUTO_JSON = reserve(cli, f, slice, err);
    const char *id = json_get_str(reservation, "id");
    if (!reservation) return -1;
    if (!id) return err_set(err, ERR_INTERNAL, "the aggregate answered without a reservation");
    json *accepted AUTO_JSON = session_json(&cli->session, SESSION_AGGREGATE, slice, "POST",
                                            json_object(), err, "/v1/reservations/%s/provision", id);
    if (!accepted) return -1;
    char *done AUTO_FREE = xasprintf("slice %s is as the file says", slice);
    return operation_follow(cli, slice, accepted, done, err);
}

/* Before anything is destroyed: what should take its place must be possible at least so far. */
static int images_exist(struct cli *cli, const struct topology_file *f, struct err *err) {
    json *seen AUTO_JSON = json_object();
    const json *slivers = json_get(f->topology, "slivers");
    for (size_t i = 0; i < json_length(slivers); i++) {
        const char *image = json_get_str(json_at(slivers, i), "image");
        if (!image || json_has(seen, image)) continue;
        json_set_bool(seen, image, true);
        struct err why = ERR_INIT;
        json *there AUTO_JSON = session_json(&cli->session, SESSION_STORE, NULL, "GET", NULL, &why,
                                             "/v1/images/%s", image);
        if (there) continue;
        err_set(err, why.code, "/slivers/%zu/image: %s", i, why.msg);
        err_remedy(err, "nothing was changed; see `jogak image list`");
        return topology_file_locate(f, err), -1;
    }
    return 0;
}

/* Nor is anything destroyed for what would find no place: the aggregate has tried it. */
static int place_exists(const json *plan, struct err *err) {
    const char *problem = json_get_str(plan, "problem");
    if (!problem) return 0;
    err_set(err, ERR_NO_SPACE, "%s", problem);
    return err_remedy(err, "nothing was changed; see `jogak node list`; ask for less, or free some");
}

static int confirm(struct cli *cli, const json *plan, struct err *err) {
    json *leaving AUTO_JSON = plan_leaving(plan);
    if (!json_length(leaving)) return 0;
    return cli_confirm(cli, err, "%zu slivers are destroyed with their disks; go on?",
                       json_length(leaving));
}

static int change(struct cli *cli, const struct topology_file *f, const char *slice,
                  const json *plan, struct err *err) {
    if (!output_is_json(&cli->output)) plan_print(cli->out, plan, cli->colour);
    fflush(cli->out);
    if (plan_is_empty(plan)) {
        if (output_is_json(&cli->output)) output_said(&cli->output, NULL, "%s", "");
        return 0;
    }
    json *leaving AUTO_JSON = plan_leaving(plan);
    if (place_exists(plan, err)) return -1;
    if (json_length(leaving) && plan_makes(plan) && images_exist(cli, f, err)) return -1;
    if (confirm(cli, plan, err) || release(cli, slice, plan_leaving(plan), err)) return -1;
    if (plan_makes(plan)) return provision(cli, f, slice, err);
    output_said(&cli->output, NULL, "slice %s is as the file says", slice);
    return 0;
}

static int run(struct cli *cli, bool dry_run, struct err *err) {
    struct topology_file f CLEANUP(topology_file_done) = { 0 };
    const char *path = cli_option(cli, "file");
    if (!path) return cli_usage(cli, err, "which file? add -f FILE");
    if (topology_file_read(cli, path, &f, err)) return -1;
    const char *slice = slice_of(cli, &f, err);
    json *plan AUTO_JSON = slice ? ask_plan(cli, &f, slice, err) : NULL;
    if (!plan) return -1;
    if (!dry_run) return change(cli, &f, slice, plan, err);
    if (output_is_json(&cli->output)) output_said(&cli->output, plan, "%s", "");
    else plan_print(cli->out, plan, cli->colour);
    return 0;
}

static int apply(struct cli *cli, struct err *err) {
    return run(cli, cli_flag(cli, "dry-run"), err);
}

static int plan(struct cli *cli, struct err *err) { return run(cli, true, err); }

#define OPTION_FILE { "file", 'f', "FILE", "The topology file (YAML); - reads standard input" }
static const struct option_row apply_options[] = {
    OPTION_FILE, OPTION_SLICE, { "dry-run", 'n', NULL, "Only say what would change" },
    { "wait", 0, NULL, "Wait until it is done (as is usual)" }, OPTION_NO_WAIT, OPTION_YES,
    OPTION_END,
};
static const struct option_row plan_options[] = { OPTION_FILE, OPTION_SLICE, OPTION_END };

#define ABOUT \
    "Slivers that are missing are created, those that differ are replaced, those that the file does\n" \
    "not name are deleted. Run again, it changes nothing. Before anything is destroyed it asks."
static const struct command apply_rows[] = {
    { "", NULL, "Make a slice what a topology file says", apply, apply_options, ABOUT }, { 0 },
};
static const struct command plan_rows[] = {
    { "", NULL, "Show what `apply` would change", plan, plan_options, NULL }, { 0 },
};
const struct command_group apply_group = { "apply", "Make a slice what a topology file says",
                                           apply_rows };
const struct command_group plan_group = { "plan", "Show what `apply` would change", plan_rows };
