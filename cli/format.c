#include "format.h"

#include "common/clock.h"
#include "common/ids.h"

#include <stdio.h>

#define MIB 1048576
#define US_PER_S 1000000

static char *none(void) { return xstrdup("-"); }

static char *join(const json *list, const char *between) {
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < json_length(list); i++) {
        char *one AUTO_FREE = format_plain(json_at(list, i));
        if (i) buf_puts(&b, between);
        buf_puts(&b, one);
    }
    return b.length ? buf_steal(&b) : none();
}

char *format_plain(const json *value) {
    if (!value) return none();
    switch (json_kind(value)) {
    case JSON_NULL: return none();
    case JSON_BOOL: return xstrdup(json_bool_value(value) ? "yes" : "no");
    case JSON_STRING: return *json_str(value) ? xstrdup(json_str(value)) : none();
    case JSON_ARRAY: return join(value, ", ");
    default: return json_text(value);
    }
}

char *format_lines(const json *value) { return join(value, "\n"); }

char *format_urn(const json *value) {
    const char *name = json_str(value) ? urn_name(json_str(value)) : "";
    return *name ? xstrdup(name) : format_plain(value);
}

char *format_id(const json *value) {
    const char *id = json_str(value);
    return id ? xstrndup(id, 8) : none();
}

static char *time_text(int64_t ms) {
    char text[CLOCK_TEXT_BYTES];
    clock_rfc3339(ms, text);
    text[10] = ' ';
    text[19] = '\0';
    return xstrdup(text);
}

char *format_time(const json *value) {
    int64_t ms;
    if (!json_str(value) || clock_parse_rfc3339(json_str(value), &ms)) return format_plain(value);
    return time_text(ms);
}

char *format_until(const json *value) {
    int64_t ms;
    if (!json_str(value) || clock_parse_rfc3339(json_str(value), &ms)) return format_plain(value);
    int64_t left_ms = ms - clock_wall_ms(), minutes = (left_ms + 30000) / 60000;
    char *when AUTO_FREE = time_text(ms);
    if (left_ms < 0) return xasprintf("%s (over)", when);
    if (minutes < 120) return xasprintf("%s (%d min)", when, (int)minutes);
    if (minutes < 48 * 60) return xasprintf("%s (%d h)", when, (int)((minutes + 30) / 60));
    return xasprintf("%s (%d days)", when, (int)((minutes + 720) / 1440));
}

char *format_size(int64_t bytes, char *buf, size_t size) {
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double value = (double)bytes;
    size_t i = 0;
    while (value >= 1024 && i + 1 < COUNT_OF(units)) value /= 1024, i++;
    snprintf(buf, size, "%.*f %s", i && value < 100 ? 1 : 0, value, units[i]);
    return buf;
}

char *format_bytes(const json *value) {
    char text[32];
    return value ? xstrdup(format_size(json_int_value(value), text, sizeof text)) : none();
}

char *format_mib(const json *value) {
    char text[32];
    return value ? xstrdup(format_size(json_int_value(value) * MIB, text, sizeof text)) : none();
}

char *format_duration_us(int64_t us, char *buf, size_t size) {
    if (us < 1000) snprintf(buf, size, "%d us", (int)us);
    else if (us < US_PER_S) snprintf(buf, size, "%.1f ms", (double)us / 1000);
    else if (us < 60 * (int64_t)US_PER_S) snprintf(buf, size, "%.2f s", (double)us / US_PER_S);
    else snprintf(buf, size, "%lld min %d s", (long long)(us / US_PER_S / 60),
                  (int)(us / US_PER_S % 60));
    return buf;
}

char *format_age_ms(const json *value) {
    char text[48];
    if (!value) return none();
    return xasprintf("%s ago", format_duration_us(json_int_value(value) * 1000, text, sizeof text));
}

static char *members(const json *list, bool roles, const char *between) {
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < json_length(list); i++) {
        const char *user = json_get_str(json_at(list, i), "user");
        const char *role = json_get_str(json_at(list, i), "role");
        buf_printf(&b, "%s%s", i ? between : "", user ? user : "?");
        if (roles) buf_printf(&b, " (%s)", role ? role : "?");
    }
    return b.length ? buf_steal(&b) : none();
}

char *format_members(const json *value) { return members(value, true, "\n"); }
char *format_member_names(const json *value) { return members(value, false, ", "); }

size_t format_width(const char *utf8) {
    size_t n = 0;
    for (; *utf8; utf8++) n += ((unsigned char)*utf8 & 0xc0) != 0x80;
    return n;
}
