#include "migration_view.h"

#include "common/clock.h"
#include "format.h"
#include "progress.h"

#define COMMIT_AFTER 8
#define BAR_COLUMNS 24

/* For steps that the aggregate has not begun yet, it names none. */
static const char *const titles[MIGRATION_STEPS] = {
    "decide the migration policy",       "select the node and reserve resources",
    "agree on signal and delivery mode", "check the resources one last time",
    "set up the delivery network",       "copy image, disk and memory",
    "stop the old sliver",               "confirm completion",
    "release the delivery network",      "activate the new sliver",
    "activate its link virtualization",  "readjust the OpenFlow forwarding",
};

void migration_view_init(struct migration_view *v, const struct cli *cli, const char *name) {
    *v = (struct migration_view){ .out = cli->out, .redraw = cli->out_tty, .colour = cli->colour,
                                  .utf8 = cli->utf8, .width = cli->width };
    snprintf(v->name, sizeof v->name, "%s", name);
}

/* The newest row of a step in one direction; NULL when there is none. */
static const json *step_row(const json *migration, int step, const char *direction) {
    const json *rows = json_get(migration, "steps"), *best = NULL;
    for (size_t i = 0; i < json_length(rows); i++) {
        const json *row = json_at(rows, i);
        const char *is = json_get_str(row, "direction");
        if (json_get_int(row, "step", 0) == step && is && strcmp(is, direction) == 0) best = row;
    }
    return best;
}

static bool ended(const json *row) { return json_get_str(row, "outcome") != NULL; }
static bool failed(const json *row) {
    const char *outcome = json_get_str(row, "outcome");
    return outcome && strcmp(outcome, "ok") != 0;
}

static const char *took(const json *row, char *buf, size_t size) {
    return format_duration_us(json_get_int(row, "took_us", 0), buf, size);
}

static const char *title_of(const json *row, int step) {
    const char *title = json_get_str(row, "title");
    return title ? title : titles[step - 1];
}

/* "12.0 MiB of 160.0 MiB, 840 Mbit/s", or what is being done; "" for nothing known. */
static void describe_copy(const json *operation, char *buf, size_t size) {
    const json *p = json_get(operation, "progress");
    int64_t done = json_get_int(p, "bytes_done", 0), total = json_get_int(p, "bytes_total", 0);
    double rate = json_get_double(p, "rate_mbps", 0);
    const char *doing = json_get_str(p, "doing");
    char a[32], b[32], bar[BAR_COLUMNS + 1];
    buf[0] = '\0';
    if (total <= 0) {
        snprintf(buf, size, "%s", doing && strcmp(doing, "copying") ? doing : "");
        return;
    }
    snprintf(buf, size, "%s%s%s %s of %s", doing && strcmp(doing, "copying") ? doing : "",
             doing && strcmp(doing, "copying") ? " " : "",
             progress_bar(done, total, BAR_COLUMNS, bar, sizeof bar),
             format_size(done, a, sizeof a), format_size(total, b, sizeof b));
    size_t n = strlen(buf);
    if (rate > 0 && n < size) snprintf(buf + n, size - n, ", %.0f Mbit/s", rate);
}

/* --- the whole picture, on a terminal --- */

struct mark {
    const char *utf8, *ascii, *colour;
};
static const struct mark tick = { "✓", "+", "\033[32m" }, cross = { "✗", "x", "\033[31m" },
                         back = { "↶", "<", "\033[33m" }, none = { "·", ".", "\033[2m" };

static void put_mark(const struct migration_view *v, const struct mark *m) {
    fprintf(v->out, " %s%s%s ", v->colour ? m->colour : "", v->utf8 ? m->utf8 : m->ascii,
            v->colour ? "\033[0m" : "");
}

/* Cut to the terminal's width, so that every line is one line and can be drawn over. */
static void put_line(struct migration_view *v, const char *text, int used) {
    int room = v->width - used - 1, n = 0;
    for (const char *c = text; *c; c++) {
        if (((unsigned char)*c & 0xc0) != 0x80 && n++ >= room) break;
        putc((unsigned char)*c < 0x20 ? '?' : *c, v->out);
    }
    fputs("\033[K\n", v->out);
    v->drawn_lines++;
}

static void draw_step(struct migration_view *v, int step, const json *migration,
                      const json *operation) {
    const json *run = step_row(migration, step, "run"), *undo = step_row(migration, step, "undo");
    char text[256], time[32], copy[160] = "";
    if (undo && ended(undo) && !failed(undo)) put_mark(v, &back);
    else if (run && failed(run)) put_mark(v, &cross);
    else if (run && ended(run)) put_mark(v, &tick);
    else if (run) fprintf(v->out, " %s ", progress_spinner(v->turn, v->utf8));
    else put_mark(v, &none);
    if (run && !ended(run)) describe_copy(operation, copy, sizeof copy);
    snprintf(text, sizeof text, "%2d  %-36s %10s%s%s", step, title_of(run, step),
             run && ended(run) ? took(run, time, sizeof time) : "", *copy ? "  " : "", copy);
    put_line(v, text, 3);
}

static void draw_head(struct migration_view *v, const json *migration) {
    const char *source = json_get_str(migration, "source"), *target = json_get_str(migration, "target");
    const char *state = json_get_str(migration, "state");
    char text[256];
    snprintf(text, sizeof text, "%s: %s -> %s  (%s%s)", v->name, source ? source : "?",
             target ? target : "?", state ? state : "?",
             json_get_bool(migration, "committed", false) ? ", committed" : "");
    put_line(v, text, 0);
}

static void draw(struct migration_view *v, const json *migration, const json *operation) {
    if (v->drawn_lines) fprintf(v->out, "\033[%dA\r", v->drawn_lines);
    v->drawn_lines = 0;
    draw_head(v, migration);
    for (int i = 1; i <= MIGRATION_STEPS; i++) {
        draw_step(v, i, migration, operation);
        if (i == COMMIT_AFTER) put_line(v, v->utf8 ? "   ── commit ──" : "   -- commit --", 0);
    }
    v->turn++;
}

/* --- a line per change, elsewhere --- */

static void tell_undo(struct migration_view *v, const json *migration) {
    for (int i = MIGRATION_STEPS; i >= 1 && !v->told_undo; i--) {
        const json *undo = step_row(migration, i, "undo");
        if (!undo || !ended(undo) || failed(undo)) continue;
        fprintf(v->out, "%s: taking it back, from step %d\n", v->name, i);
        v->told_undo = true;
    }
}

/* A step that failed may be found done after all, when the nodes are asked: then it is told again. */
static void tell(struct migration_view *v, const json *migration) {
    char time[32];
    for (int i = 1; i <= MIGRATION_STEPS; i++) {
        const json *row = step_row(migration, i, "run");
        if (!row || !ended(row)) continue;
        const char *says = failed(row) ? "failed after" : "ok,";
        if (v->told[i] && strcmp(v->told[i], says) == 0) continue;
        v->told[i] = says;
        fprintf(v->out, "%2d/%d %s: %s %s%s\n", i, MIGRATION_STEPS, title_of(row, i), says,
                took(row, time, sizeof time), i == COMMIT_AFTER && !failed(row) ? "; commit" : "");
    }
    tell_undo(v, migration);
}

void migration_view_show(struct migration_view *v, const json *migration, const json *operation) {
    int attempt = (int)json_get_int(migration, "attempt", 1);
    if (attempt > v->told_attempt && v->told_attempt) {
        if (!v->redraw) fprintf(v->out, "%s: attempt %d\n", v->name, attempt);
        memset(v->told, 0, sizeof v->told);
        v->told_undo = false;
    }
    v->told_attempt = attempt;
    if (v->redraw) draw(v, migration, operation);
    else tell(v, migration);
    fflush(v->out);
}

/* --- the end --- */

/* Wall time from the first step's begin to the last one's end, in microseconds; -1: not known. */
static int64_t total_us(const json *migration) {
    const json *rows = json_get(migration, "steps");
    int64_t first = INT64_MAX, last = -1, ms;
    for (size_t i = 0; i < json_length(rows); i++) {
        const char *begun = json_get_str(json_at(rows, i), "begun");
        const char *end = json_get_str(json_at(rows, i), "ended");
        if (begun && clock_parse_rfc3339(begun, &ms) == 0 && ms < first) first = ms;
        if (end && clock_parse_rfc3339(end, &ms) == 0 && ms > last) last = ms;
    }
    return last < first ? -1 : (last - first) * 1000;
}

void migration_view_end(struct migration_view *v, const json *migration, const json *operation) {
    const char *state = json_get_str(migration, "state");
    const json *result = json_get(operation, "result");
    const char *target = json_get_str(migration, "target");
    char time[32];
    migration_view_show(v, migration, operation);
    int64_t total = total_us(migration);
    if (!state || strcmp(state, "done")) {
        fprintf(v->out, "%s: the migration %s\n", v->name,
                state && !strcmp(state, "lost") ? "lost the sliver"
                                                : "did not take place; the sliver is where it was");
        fflush(v->out);
        return;
    }
    fprintf(v->out, "%s is on %s now", v->name, target ? target : "?");
    if (total >= 0) fprintf(v->out, ", total %s", format_duration_us(total, time, sizeof time));
    if (json_has(result, "blackout_ms"))
        fprintf(v->out, ", blackout %s",
                format_duration_us(json_get_int(result, "blackout_ms", 0) * 1000, time, sizeof time));
    if (json_has(result, "held_frames"))
        fprintf(v->out, ", %lld frames held and delivered",
                (long long)json_get_int(result, "held_frames", 0));
    fputs("\n", v->out);
    fflush(v->out);
}
