#include "nouns.h"

#include "common/clock.h"
#include "common/image_client.h"
#include "format.h"
#include "progress.h"

#include <signal.h>

static const struct column columns[] = {
    { "NAME", "name", NULL }, { "FORMAT", "format", NULL }, { "SIZE", "size_bytes", format_bytes },
    { "STORED", "stored_bytes", format_bytes }, { "DISK", "virtual_size_bytes", format_bytes },
    { "OWNER", "owner", format_urn }, { "PUBLIC", "public", NULL },
    { "UPLOADED", "uploaded", format_time }, COLUMN_END,
};
static const struct column lines[] = {
    { "name", "name", NULL }, { "digest", "digest", NULL }, { "kind", "kind", NULL },
    { "format", "format", NULL }, { "size", "size_bytes", format_bytes },
    { "stored", "stored_bytes", format_bytes }, { "disk", "virtual_size_bytes", format_bytes },
    { "owner", "owner", NULL }, { "public", "public", NULL }, { "created", "created", format_time },
    { "uploaded", "uploaded", format_time }, COLUMN_END,
};

/* Operators see and change everybody's images, with --all. */
static const char *credential_of(const struct cli *cli) {
    return cli_flag(cli, "all") ? SESSION_AS_OPERATOR : NULL;
}

static json *get(struct cli *cli, const char *name, struct err *err) {
    struct session *s = cli_session(cli, err);
    return s ? session_json(s, SESSION_STORE, credential_of(cli), "GET", NULL, err, "/v1/images/%s",
                            name)
             : NULL;
}

static int list(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    json *items AUTO_JSON =
        s ? session_list(s, SESSION_STORE, credential_of(cli), err, "/v1/images") : NULL;
    if (!items) return -1;
    output_list(&cli->output, items, columns);
    return 0;
}

static int show(struct cli *cli, struct err *err) {
    json *image AUTO_JSON = get(cli, cli_arg(cli, 0), err);
    if (!image) return -1;
    output_object(&cli->output, image, lines);
    return 0;
}

static int drop(struct cli *cli, struct err *err) {
    const char *name = cli_arg(cli, 0);
    struct session *s = cli_session(cli, err);
    if (!s || cli_confirm(cli, err, "delete image %s?", name)) return -1;
    json *answer AUTO_JSON = session_json(s, SESSION_STORE, credential_of(cli), "DELETE", NULL, err,
                                          "/v1/images/%s", name);
    if (!answer) return -1;
    output_said(&cli->output, NULL, "image %s deleted", name);
    return 0;
}

/* --- transfers --- */

#define BAR_COLUMNS 30
#define SHOW_MS 100

static atomic_bool interrupted;
static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = true;
}

struct bar {
    struct progress progress;
    const char *verb;
    int64_t shown_ms, begun_ms;
};

static void on_progress(void *ctx, const struct image_progress *p) {
    struct bar *b = ctx;
    int64_t now = clock_monotonic_ms();
    if (!b->progress.tty || now - b->shown_ms < SHOW_MS) return;
    b->shown_ms = now;
    char bar[BAR_COLUMNS + 1], done[32], total[32], moved[32];
    char *text AUTO_FREE = xasprintf(
        "%s %s %s of %s, %s over the network", p->phase == IMAGE_SCAN ? "reading" : b->verb,
        progress_bar(p->done_bytes, p->total_bytes, BAR_COLUMNS, bar, sizeof bar),
        format_size(p->done_bytes, done, sizeof done), format_size(p->total_bytes, total, sizeof total),
        format_size(p->moved_bytes, moved, sizeof moved));
    progress_show(&b->progress, text);
}

struct transfer {
    struct image_transfer door;
    struct bar bar;
    char *credential;
};

static int transfer_begin(struct cli *cli, struct transfer *t, const char *verb, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    t->bar = (struct bar){ .verb = verb, .begun_ms = clock_monotonic_ms() };
    progress_init(&t->bar.progress, cli);
    if (cli_flag(cli, "all")) {
        t->credential = session_credential(s, SESSION_AS_OPERATOR, false, NULL, err);
        if (!t->credential) return -1;
    }
    t->door = (struct image_transfer){
        .client = s->client, .credential = t->credential, .progress = on_progress,
        .progress_ctx = &t->bar, .cancel = &interrupted,
    };
    signal(SIGINT, on_interrupt);
    return session_service(s, SESSION_STORE, &t->door.store_url, &t->door.peer_urn, err);
}

static int transfer_end(struct cli *cli, struct transfer *t, int rc, const char *what,
                        const struct image_result *r, struct err *err) {
    char size[32], moved[32], took[32];
    progress_clear(&t->bar.progress);
    signal(SIGINT, SIG_DFL);
    free(t->credential);
    if (rc) {
        if (err && err->code == ERR_CANCELLED)
            err_remedy(err, "run the same command again: it goes on where it was");
        return -1;
    }
    json *facts AUTO_JSON = json_set_str(json_object(), "digest", r->digest);
    json_set_int(facts, "size_bytes", r->size_bytes);
    json_set_int(facts, "moved_bytes", r->moved_bytes);
    json_set_int(facts, "chunks_moved", (int64_t)r->chunks_moved);
    json_set_int(facts, "chunks_reused", (int64_t)r->chunks_reused);
    output_said(&cli->output, facts, "%s: %s, of which %s went over the network, in %s", what,
                format_size(r->size_bytes, size, sizeof size),
                format_size(r->moved_bytes, moved, sizeof moved),
                format_duration_us((clock_monotonic_ms() - t->bar.begun_ms) * 1000, took,
                                   sizeof took));
    return 0;
}

/* With --replace: the digest of what is there under the name now; "" when there is nothing. */
static char *replaced(struct cli *cli, const char *name, struct err *err) {
    struct err one = ERR_INIT;
    json *image AUTO_JSON = get(cli, name, &one);
    if (image) return xstrdup(json_get_str(image, "digest"));
    if (one.code == ERR_NOT_FOUND) return xstrdup("");
    if (err) *err = one;
    return NULL;
}

static int upload(struct cli *cli, struct err *err) {
    const char *name = cli_option(cli, "name");
    if (!name) return cli_usage(cli, err, "what is it called? add --name NAME");
    char *old AUTO_FREE = cli_flag(cli, "replace") ? replaced(cli, name, err) : xstrdup("");
    struct transfer t = { 0 };
    struct image_result result = { 0 };
    if (!old || transfer_begin(cli, &t, "uploading", err)) return -1;
    const struct image_upload what = {
        .path = cli_arg(cli, 0), .name = name, .kind = MANIFEST_IMAGE,
        .format = cli_option(cli, "format"), .is_public = !cli_flag(cli, "private"),
        .replace = *old ? old : NULL,
    };
    int rc = image_upload(&t.door, &what, &result, err);
    if (rc && err && err->code == ERR_CONFLICT && !err->remedy[0])
        err_remedy(err, "add --replace to put this one in its place, or choose another name");
    char *text AUTO_FREE = xasprintf("image %s uploaded", name);
    return transfer_end(cli, &t, rc, text, &result, err);
}

static int fetch(struct cli *cli, struct err *err) {
    json *image AUTO_JSON = get(cli, cli_arg(cli, 0), err);
    struct transfer t = { 0 };
    struct image_result result = { 0 };
    if (!image || transfer_begin(cli, &t, "fetching", err)) return -1;
    const struct image_fetch what = { .digest = json_get_str(image, "digest"),
                                      .dest_path = cli_arg(cli, 1), .mode = 0644 };
    int rc = image_fetch(&t.door, &what, &result, err);
    char *text AUTO_FREE = xasprintf("%s written", cli_arg(cli, 1));
    return transfer_end(cli, &t, rc, text, &result, err);
}

#define OPTION_ALL { "all", 'a', NULL, "Everybody's (operators)" }
static const struct option_row options[] = { OPTION_ALL, OPTION_END };
static const struct option_row delete_options[] = { OPTION_ALL, OPTION_YES, OPTION_END };
static const struct option_row upload_options[] = {
    { "name", 'n', "NAME", "What topology files call it" },
    { "format", 0, "FORMAT", "qcow2 or raw (default: what the file looks like)" },
    { "private", 0, NULL, "Only you can use it" },
    { "replace", 0, NULL, "Take the place of an image of that name" },
    OPTION_ALL,
    OPTION_END,
};

static const struct command rows[] = {
    { "list", NULL, "List the images that you can use", list, options, NULL },
    { "show", "IMAGE", "Show an image", show, options, NULL },
    { "upload", "FILE", "Upload a disk image", upload, upload_options,
      "Only what the store lacks is sent. An upload that was broken off goes on where it was." },
    { "fetch", "IMAGE FILE", "Fetch an image into a file", fetch, options, NULL },
    { "delete", "IMAGE", "Delete an image", drop, delete_options, NULL },
    { 0 },
};
const struct command_group image_group = { "image", "Disk images in the sliver store", rows };
