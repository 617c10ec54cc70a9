#include "nouns.h"

#include "common/clock.h"
#include "common/ids.h"
#include "format.h"

#define SOON_MS (14 * 86400000LL)

static const struct column columns[] = {
    { "SERVICE", "service", NULL }, { "STATE", "state", NULL },   { "VERSION", "version", NULL },
    { "ANSWER", "answer", NULL },   { "CLOCK", "clock", NULL },   { "URL", "url", NULL },
    { "PROBLEM", "problem", NULL }, COLUMN_END,
};

/* How far its clock is from ours; what a network adds stays below a second. */
static void add_clock(json *row, const char *time) {
    int64_t theirs;
    if (!time || clock_parse_rfc3339(time, &theirs)) return;
    int64_t ahead = theirs - clock_wall_ms();
    if (ahead > -2000 && ahead < 2000) json_set_str(row, "clock", "same");
    else {
        char *text AUTO_FREE = xasprintf("%+lld s", (long long)(ahead / 1000));
        json_set_str(row, "clock", text);
    }
}

static bool ask(struct session *s, enum session_service which, const char *name, json *list) {
    struct err err = ERR_INIT;
    const char *url = NULL, *urn = NULL;
    char took[32];
    json *row = json_set_str(json_object(), "service", name);
    json_add(list, row);
    int64_t begun = clock_monotonic_us();
    json *about AUTO_JSON = NULL;
    if (session_service(s, which, &url, &urn, &err) == 0) {
        json_set_str(row, "url", url);
        about = session_json(s, which, NULL, "GET", NULL, &err, "/v1");
    }
    json_set_str(row, "state", about ? "up" : json_has(row, "url") ? "down" : "unknown");
    if (!about) {
        json_set_str(row, "problem", err.msg);
        return false;
    }
    json_set_str(row, "answer",
                 format_duration_us(clock_monotonic_us() - begun, took, sizeof took));
    json_set_str(row, "version", json_get_str(about, "version"));
    add_clock(row, json_get_str(about, "time"));
    return true;
}

static void print(struct cli *cli, const json *list) {
    struct session *s = &cli->session;
    char when[CLOCK_TEXT_BYTES];
    json *until AUTO_JSON = json_string(clock_rfc3339(s->expires_ms, when));
    if (output_is_json(&cli->output)) {
        json *all AUTO_JSON = json_set_str(json_object(), "user", s->urn);
        json_set(all, "certificate_expires", json_copy(until));
        json_set(all, "services", json_copy(list));
        output_object(&cli->output, all, columns);
        return;
    }
    output_list(&cli->output, list, columns);
    char *text AUTO_FREE = format_until(until);
    fprintf(cli->out, "\nyou are %s; your certificate is good until %s\n", urn_name(s->urn), text);
    if (s->expires_ms < clock_wall_ms() + SOON_MS)
        fprintf(cli->out, "renew it: jogak login --renew\n");
}

static int status(struct cli *cli, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    json *list AUTO_JSON = json_array();
    int down = !ask(s, SESSION_CLEARINGHOUSE, "clearinghouse", list);
    down += !ask(s, SESSION_AGGREGATE, "aggregate", list);
    down += !ask(s, SESSION_STORE, "sliverstore", list);
    print(cli, list);
    if (!down) return 0;
    return err_set(err, ERR_UNAVAILABLE, "%d of 3 services cannot be used", down);
}

static const struct command rows[] = {
    { "", NULL, "Show whether the services answer, and until when your certificate is good", status,
      NULL, NULL },
    { 0 },
};
const struct command_group status_group = { "status", "Show whether the services answer", rows };
