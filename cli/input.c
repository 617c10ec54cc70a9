#include "input.h"

#include "common/clock.h"
#include "common/ids.h"
#include "common/service.h"

static char *read_stream(FILE *in, size_t max_bytes, size_t *ret_length, struct err *err) {
    struct buf all AUTO_BUF = BUF_INIT;
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, in)) > 0;) {
        buf_add(&all, piece, n);
        if (all.length > max_bytes) {
            err_set(err, ERR_TOO_LARGE, "standard input has more than %zu bytes", max_bytes);
            return NULL;
        }
    }
    if (ret_length) *ret_length = all.length;
    return buf_steal(&all);
}

char *input_read(struct cli *cli, const char *path, size_t max_bytes, size_t *ret_length,
                 struct err *err) {
    if (strcmp(path, "-") == 0) return read_stream(cli->in, max_bytes, ret_length, err);
    return file_read(path, max_bytes, ret_length, err);
}

static int64_t unit_ms(const char *unit) {
    static const struct { const char *unit; int64_t ms; } units[] = {
        { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { "w", 7 * 86400000LL },
    };
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strcmp(units[i].unit, unit) == 0) return units[i].ms;
    return 0;
}

const char *input_time(const char *text, char *buf, struct err *err) {
    int64_t ms;
    char *end, day[64];
    long long count = strtoll(text, &end, 10);
    if (end != text && count > 0 && count < 100000 && unit_ms(end))
        return clock_rfc3339(clock_wall_ms() + count * unit_ms(end), buf);
    if (clock_parse_rfc3339(text, &ms) == 0) return clock_rfc3339(ms, buf);
    snprintf(day, sizeof day, "%.20sT00:00:00Z", text);
    if (clock_parse_rfc3339(day, &ms) == 0) return clock_rfc3339(ms, buf);
    err_set(err, ERR_INVALID, "\"%.60s\" is no time", text);
    err_remedy(err, "write 12h, 7d, 4w, 2026-12-24 or 2026-12-24T18:00:00Z");
    return NULL;
}

int input_id(const char *text, const json *items, const char *what, char ret[37],
             struct err *err) {
    const char *found = NULL;
    size_t n = strlen(text);
    for (size_t i = 0; i < json_length(items); i++) {
        const char *id = json_get_str(json_at(items, i), "id");
        if (!id || strncmp(id, text, n)) continue;
        if (found)
            return err_set(err, ERR_CONFLICT, "%.40s is the beginning of several %ss", text, what);
        found = id;
    }
    if (!found || strlen(found) > 36)
        return err_set(err, ERR_NOT_FOUND, "there is no %s %.40s", what, text);
    memcpy(ret, found, strlen(found) + 1);
    return 0;
}
