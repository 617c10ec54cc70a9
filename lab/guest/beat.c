/*
 * beat: a steady pulse on the network or on a disk, and the judge of what arrived of it.
 *
 * Migration tests run it in guests and on hosts (the same source, static): one end sends numbered
 * datagrams, the other says what was lost, doubled, late; or a guest writes numbered records to its
 * disk and says later whether each acknowledged one is there. One thread, no allocation after the
 * start; times are CLOCK_MONOTONIC.
 */
#include "beat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RATE_MAX_HZ = 1000000 };

volatile sig_atomic_t beat_stop;
volatile sig_atomic_t beat_report;

static const char usage_text[] =
    "usage: beat send DST PORT RATE_HZ [COUNT]          numbered datagrams to DST (an IPv4 "
    "address)\n"
    "       beat recv PORT [--every] [--idle SECONDS]   judge them: a JSON line on SIGUSR1, at the "
    "end,\n"
    "                                                   with --every each second; --idle ends the "
    "run\n"
    "       beat echo PORT                              send each datagram back\n"
    "       beat ping DST RATE_HZ COUNT                 ICMP echo; counts lost and doubled answers\n"
    "       beat disk DEVICE OFFSET [RATE_HZ [COUNT]]   numbered records, 1 MiB in a ring (default "
    "20 Hz)\n"
    "       beat diskcheck DEVICE OFFSET [AT_LEAST]     verify them; AT_LEAST is the last record "
    "known\n"
    "                                                   to have been acknowledged\n";

static void on_signal(int number) {
    if (number == SIGUSR1)
        beat_report = 1;
    else
        beat_stop = 1;
}

/* Without SA_RESTART: a signal must end the wait for the next datagram. */
static void catch_signals(void) {
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

uint64_t beat_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

_Noreturn void beat_die(const char *what) {
    fprintf(stderr, "beat: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void usage(void) {
    fputs(usage_text, stderr);
    exit(2);
}

uint64_t beat_number(const char *text, const char *what, uint64_t min, uint64_t max) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno || end == text || *end || *text == '-' || value < min || value > max) {
        fprintf(stderr, "beat: %s must be %llu..%llu, not '%s'\n", what, (unsigned long long)min,
                (unsigned long long)max, text);
        exit(2);
    }
    return value;
}

void metronome_init(struct metronome *m, uint64_t rate_hz) {
    m->period_ns = 1000000000u / rate_hz;
    m->next_ns = beat_now_ns();
}

void metronome_wait(struct metronome *m) {
    const uint64_t standstill_ns = 200000000u;
    uint64_t now = beat_now_ns();
    m->next_ns += m->period_ns;
    if (now > m->next_ns + standstill_ns) m->next_ns = now;
    if (now >= m->next_ns) return;
    struct timespec until = { .tv_sec = (time_t)(m->next_ns / 1000000000u),
                              .tv_nsec = (long)(m->next_ns % 1000000000u) };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static uint16_t port_of(const char *text) { return (uint16_t)beat_number(text, "PORT", 1, 65535); }

static int main_send(int argc, char **argv) {
    if (argc != 5 && argc != 6) usage();
    uint64_t count = argc == 6 ? beat_number(argv[5], "COUNT", 1, UINT64_MAX) : UINT64_MAX;
    return beat_send(argv[2], port_of(argv[3]), beat_number(argv[4], "RATE_HZ", 1, RATE_MAX_HZ),
                     count);
}

static int main_recv(int argc, char **argv) {
    bool every = false;
    uint64_t idle_s = 0;
    if (argc < 3) usage();
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--every") == 0)
            every = true;
        else if (strcmp(argv[i], "--idle") == 0 && i + 1 < argc)
            idle_s = beat_number(argv[++i], "SECONDS", 1, 86400);
        else
            usage();
    }
    return beat_recv(port_of(argv[2]), every, idle_s);
}

static int main_echo(int argc, char **argv) {
    if (argc != 3) usage();
    return beat_echo(port_of(argv[2]));
}

static int main_ping(int argc, char **argv) {
    if (argc != 5) usage();
    return beat_ping(argv[2], beat_number(argv[3], "RATE_HZ", 1, RATE_MAX_HZ),
                     beat_number(argv[4], "COUNT", 1, 65535));
}

static int main_disk(int argc, char **argv) {
    if (argc < 4 || argc > 6) usage();
    uint64_t rate = argc > 4 ? beat_number(argv[4], "RATE_HZ", 1, RATE_MAX_HZ) : 20;
    uint64_t count = argc > 5 ? beat_number(argv[5], "COUNT", 1, UINT64_MAX) : UINT64_MAX;
    return beat_disk(argv[2], beat_number(argv[3], "OFFSET", 0, INT64_MAX / 2), rate, count);
}

static int main_diskcheck(int argc, char **argv) {
    if (argc != 4 && argc != 5) usage();
    uint64_t at_least = argc == 5 ? beat_number(argv[4], "AT_LEAST", 0, UINT64_MAX) : 0;
    return beat_diskcheck(argv[2], beat_number(argv[3], "OFFSET", 0, INT64_MAX / 2), at_least);
}

static const struct {
    const char *verb;
    int (*run)(int argc, char **argv);
} verbs[] = {
    { "send", main_send }, { "recv", main_recv },           { "echo", main_echo },
    { "ping", main_ping },
    { "disk", main_disk }, { "diskcheck", main_diskcheck },
};

int main(int argc, char **argv) {
    catch_signals();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(*verbs); i++)
        if (strcmp(argv[1], verbs[i].verb) == 0) return verbs[i].run(argc, argv);
    usage();
}
