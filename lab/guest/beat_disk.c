/*
 * The disk half of beat: a ring of numbered 4 KiB records, written past the page cache and with
 * O_DSYNC, so that a record that was written is a record the disk acknowledged.
 *
 * Record n goes to slot n % SLOTS. When the newest record found is `last`, each slot must hold the
 * newest number that belongs to it; anything older is an acknowledged write that was lost, anything
 * else is damage. A run goes on after the newest record it finds.
 */
#include "beat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 256, RECORD_BYTES = 4096, RECORD_WORDS = RECORD_BYTES / 8 };

#define RECORD_MAGIC UINT64_C(0x6265617464697363)

/* number 0 means "never written"; the checksum covers all words before it. */
struct record {
    uint64_t magic;
    uint64_t number;
    uint64_t filling[RECORD_WORDS - 3];
    uint64_t checksum;
};

enum slot_state { SLOT_EMPTY, SLOT_GOOD, SLOT_DAMAGED };

static uint64_t mix(uint64_t x) {
    x ^= x >> 31;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

static uint64_t record_checksum(const struct record *r) {
    uint64_t words[RECORD_WORDS], sum = 0;
    memcpy(words, r, sizeof(words));
    for (int i = 0; i < RECORD_WORDS - 1; i++) sum = mix(sum + words[i]);
    return sum;
}

static void record_fill(struct record *r, uint64_t number) {
    r->magic = RECORD_MAGIC;
    r->number = number;
    for (int i = 0; i < RECORD_WORDS - 3; i++) r->filling[i] = mix(number + (uint64_t)i);
    r->checksum = record_checksum(r);
}

static struct record *record_new(void) {
    void *memory = aligned_alloc(RECORD_BYTES, sizeof(struct record));
    if (!memory) beat_die("memory");
    return memory;
}

static off_t slot_place(uint64_t offset, uint64_t number) {
    return (off_t)(offset + number % SLOTS * RECORD_BYTES);
}

/* On a device, past the page cache: a cached page would hide what the disk lost. */
static int device_open(const char *device, uint64_t offset, int flags) {
    if (offset % RECORD_BYTES) {
        fprintf(stderr, "beat: OFFSET must be a multiple of %d\n", RECORD_BYTES);
        exit(2);
    }
    int fd = open(device, flags | O_CLOEXEC | O_DIRECT);
    if (fd < 0 && errno == EINVAL)
        fd = open(device, flags | O_CLOEXEC); /* a file system without O_DIRECT */
    if (fd < 0) beat_die(device);
    return fd;
}

static enum slot_state slot_read(int fd, uint64_t offset, uint64_t slot, struct record *r) {
    ssize_t n = pread(fd, r, sizeof(*r), slot_place(offset, slot));
    if (n < 0) beat_die("read");
    if (n < (ssize_t)sizeof(*r)) return SLOT_EMPTY; /* behind the end of a file */
    if (r->magic == 0 && r->number == 0 && r->checksum == 0) return SLOT_EMPTY;
    bool good =
        r->magic == RECORD_MAGIC && r->number % SLOTS == slot && r->checksum == record_checksum(r);
    return good ? SLOT_GOOD : SLOT_DAMAGED;
}

/* What a look at the whole ring tells. */
struct ring {
    uint64_t last; /* 0: empty */
    uint64_t numbers[SLOTS];
    unsigned good, damaged;
};

static void ring_read(struct ring *ring, int fd, uint64_t offset) {
    struct record *r = record_new();
    memset(ring, 0, sizeof(*ring));
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        enum slot_state state = slot_read(fd, offset, slot, r);
        ring->damaged += state == SLOT_DAMAGED;
        if (state != SLOT_GOOD) continue;
        ring->good++;
        ring->numbers[slot] = r->number;
        if (r->number > ring->last) ring->last = r->number;
    }
    free(r);
}

/* Slots that do not hold the newest number that belongs there. */
static unsigned ring_stale(const struct ring *ring) {
    unsigned stale = 0;
    uint64_t first = ring->last > SLOTS ? ring->last - SLOTS + 1 : 1;
    for (uint64_t number = first; number <= ring->last; number++)
        stale += ring->numbers[number % SLOTS] != number;
    return stale;
}

int beat_disk(const char *device, uint64_t offset, uint64_t rate_hz, uint64_t count) {
    int fd = device_open(device, offset, O_RDWR | O_DSYNC);
    struct ring ring;
    struct metronome metronome;
    struct record *r = record_new();
    ring_read(&ring, fd, offset);
    uint64_t last = ring.last, reported_ns = beat_now_ns();
    metronome_init(&metronome, rate_hz);
    for (uint64_t i = 0; i < count && !beat_stop; i++) {
        record_fill(r, last + 1);
        if (pwrite(fd, r, sizeof(*r), slot_place(offset, last + 1)) != (ssize_t)sizeof(*r))
            beat_die("write");
        last++;
        if (beat_report || beat_now_ns() - reported_ns >= 1000000000u) {
            beat_report = 0;
            reported_ns = beat_now_ns();
            printf("{\"acknowledged\":%" PRIu64 "}\n", last);
        }
        metronome_wait(&metronome);
    }
    printf("{\"acknowledged\":%" PRIu64 "}\n", last);
    free(r);
    close(fd);
    return 0;
}

/* Status 0: all is there. 1: something is lost or damaged. */
int beat_diskcheck(const char *device, uint64_t offset, uint64_t at_least) {
    int fd = device_open(device, offset, O_RDONLY);
    struct ring ring;
    ring_read(&ring, fd, offset);
    close(fd);
    unsigned stale = ring_stale(&ring);
    /* A damaged slot is also a stale one, unless it was the record being written. */
    bool good = stale == 0 && ring.damaged == 0 && ring.last >= at_least && ring.last > 0;
    printf("{\"good\":%s,\"last\":%" PRIu64 ",\"records\":%u,\"damaged\":%u,\"lost\":%u}\n",
           good ? "true" : "false", ring.last, ring.good, ring.damaged, stale);
    return good ? 0 : 1;
}
