/*
 * The clock door. Durations use the monotonic clock, leases the boot-time clock (it goes on while
 * the machine sleeps), documents the wall clock. A test replaces all three with clock_steer().
 */
#ifndef JOGAK_CLOCK_H
#define JOGAK_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_boottime_ms(void);
int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01 UTC */
/* Sleep at least so long (0 returns at once). */
void clock_sleep_ms(int64_t ms);

struct clock_door {
    void *ctx;
    int64_t (*monotonic_us)(void *ctx);
    int64_t (*boottime_ms)(void *ctx);
    int64_t (*wall_ms)(void *ctx);
    void (*sleep_ms)(void *ctx, int64_t ms);
};
/* Use another clock (borrowed) for the whole process; NULL brings the real one back. Tests only. */
void clock_steer(const struct clock_door *door);

/* "2026-11-22T10:00:00.123Z" into a buffer of at least CLOCK_TEXT_BYTES; returns buf. */
#define CLOCK_TEXT_BYTES 32
char *clock_rfc3339(int64_t wall_ms, char *buf);
/* Parses RFC 3339 (any offset, optional fraction). 0, or -1 when it is none. */
int clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms);

#endif
