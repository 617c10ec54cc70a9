#include "clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t real_monotonic_us(void *ctx) {
    (void)ctx;
    return read_us(CLOCK_MONOTONIC);
}
static int64_t real_boottime_ms(void *ctx) {
    (void)ctx;
    return read_us(CLOCK_BOOTTIME) / 1000;
}
static int64_t real_wall_ms(void *ctx) {
    (void)ctx;
    return read_us(CLOCK_REALTIME) / 1000;
}
static void real_sleep_ms(void *ctx, int64_t ms) {
    (void)ctx;
    struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR) continue;
}

static const struct clock_door real_clock = { NULL, real_monotonic_us, real_boottime_ms,
                                              real_wall_ms, real_sleep_ms };
static const struct clock_door *_Atomic present = &real_clock;

void clock_steer(const struct clock_door *door) { present = door ? door : &real_clock; }

int64_t clock_monotonic_us(void) {
    const struct clock_door *c = present;
    return c->monotonic_us(c->ctx);
}
int64_t clock_monotonic_ms(void) { return clock_monotonic_us() / 1000; }
int64_t clock_boottime_ms(void) {
    const struct clock_door *c = present;
    return c->boottime_ms(c->ctx);
}
int64_t clock_wall_ms(void) {
    const struct clock_door *c = present;
    return c->wall_ms(c->ctx);
}
void clock_sleep_ms(int64_t ms) {
    const struct clock_door *c = present;
    if (ms > 0) c->sleep_ms(c->ctx, ms);
}

char *clock_rfc3339(int64_t wall_ms, char *buf) {
    int64_t seconds = wall_ms / 1000, ms = wall_ms % 1000;
    if (ms < 0) seconds--, ms += 1000;
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099) {
        memcpy(buf, "9999-12-31T23:59:59.999Z", 25); /* the format has four digits for a year */
        return buf;
    }
    size_t n = strftime(buf, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, CLOCK_TEXT_BYTES - n, ".%03dZ", (int)ms);
    return buf;
}

/* `count` digits into *ret, moving *p on. */
static int digits(const char **p, int count, int *ret) {
    int v = 0;
    for (int i = 0; i < count; i++, (*p)++) {
        if (!isdigit((unsigned char)**p)) return -1;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return 0;
}

static int letter(const char **p, const char *set) {
    if (!**p || !strchr(set, **p)) return -1;
    (*p)++;
    return 0;
}

static int parse_date_time(const char **p, struct tm *tm) {
    if (digits(p, 4, &tm->tm_year) || letter(p, "-") || digits(p, 2, &tm->tm_mon) ||
        letter(p, "-") || digits(p, 2, &tm->tm_mday) || letter(p, "Tt") ||
        digits(p, 2, &tm->tm_hour) || letter(p, ":") || digits(p, 2, &tm->tm_min) ||
        letter(p, ":") || digits(p, 2, &tm->tm_sec))
        return -1;
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int y = tm->tm_year;
    int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (tm->tm_mon < 1 || tm->tm_mon > 12 || tm->tm_mday < 1 ||
        tm->tm_mday > days[tm->tm_mon - 1] + (tm->tm_mon == 2 && leap) || tm->tm_hour > 23 ||
        tm->tm_min > 59 || tm->tm_sec > 60)
        return -1;
    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    return 0;
}

static int parse_fraction(const char **p, int *ret_ms) {
    int scale = 100;
    *ret_ms = 0;
    if (**p != '.') return 0;
    (*p)++;
    if (!isdigit((unsigned char)**p)) return -1;
    for (; isdigit((unsigned char)**p); (*p)++, scale /= 10) *ret_ms += (**p - '0') * scale;
    return 0;
}

static int parse_offset(const char **p, int *ret_minutes) {
    int hours, minutes, sign = **p == '-' ? -1 : 1;
    *ret_minutes = 0;
    if (letter(p, "Zz") == 0) return 0;
    if (letter(p, "+-") || digits(p, 2, &hours) || letter(p, ":") || digits(p, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return -1;
    *ret_minutes = sign * (hours * 60 + minutes);
    return 0;
}

int clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms) {
    struct tm tm = { 0 };
    int ms, offset;
    if (!text || parse_date_time(&text, &tm) || parse_fraction(&text, &ms) ||
        parse_offset(&text, &offset) || *text)
        return -1;
    /* A leap second exists only at the end of a UTC day; it counts as the second after it. */
    if (tm.tm_sec == 60) {
        int utc = ((tm.tm_hour * 60 + tm.tm_min - offset) % 1440 + 1440) % 1440;
        if (utc != 1439) return -1;
    }
    *ret_wall_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
    return 0;
}
