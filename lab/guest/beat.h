/* beat: what its verbs share.  See beat.c. */
#ifndef LAB_GUEST_BEAT_H
#define LAB_GUEST_BEAT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Set by SIGINT and SIGTERM: report and leave. */
extern volatile sig_atomic_t beat_stop;
/* Set by SIGUSR1: report and go on. The verb clears it. */
extern volatile sig_atomic_t beat_report;

uint64_t beat_now_ns(void);

/* Prints a message with errno's text and exits with status 1. */
_Noreturn void beat_die(const char *what);

/* Parses a whole number in [min, max]; exits with status 2 and a message when TEXT is none. */
uint64_t beat_number(const char *text, const char *what, uint64_t min, uint64_t max);

/*
 * A metronome. A tick that was missed is made up for, unless the process stood still for over 200
 * ms: then the schedule starts anew, so that a paused guest does not send a burst that no real
 * sender would send.
 */
struct metronome {
    uint64_t period_ns;
    uint64_t next_ns;
};

void metronome_init(struct metronome *m, uint64_t rate_hz);
void metronome_wait(struct metronome *m);

int beat_send(const char *dst, uint16_t port, uint64_t rate_hz, uint64_t count);
int beat_recv(uint16_t port, bool every_second, uint64_t idle_s);
int beat_echo(uint16_t port);
/* count: at most 65535, the range of ICMP's sequence numbers. */
int beat_ping(const char *dst, uint64_t rate_hz, uint64_t count);
int beat_disk(const char *device, uint64_t offset, uint64_t rate_hz, uint64_t count);
int beat_diskcheck(const char *device, uint64_t offset, uint64_t at_least);

#endif
