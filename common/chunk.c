/*
 * Where chunks end. The gear hash h = 2h + G[byte] forgets a byte after 64 steps, so a cut depends
 * on the 64 bytes before it alone. Below the average size a cut must match a mask of more bits than
 * above it; that pulls the sizes towards the average (Xia et al., FastCDC, USENIX ATC 2016).
 */
#include "chunk.h"

#include <pthread.h>
#include <string.h>

/* The high bits of a gear hash depend on the most bytes, so the masks take those. */
#define MASK_HIGH_BITS(n) (~UINT64_C(0) << (64 - (n)))
#define MASK_BELOW MASK_HIGH_BITS(20) /* a cut every 1 MiB: rare before the average size */
#define MASK_ABOVE MASK_HIGH_BITS(16) /* a cut every 64 KiB: soon after it */

static uint64_t gear[256];
static pthread_once_t gear_once = PTHREAD_ONCE_INIT;

/* splitmix64 from a fixed seed: the table is part of the format and must never change. */
static void gear_fill(void) {
    uint64_t state = UINT64_C(0x6a6f67616b); /* "jogak" */
    for (size_t i = 0; i < 256; i++) {
        state += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = state;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        gear[i] = z ^ (z >> 31);
    }
}

size_t chunk_cut(const uint8_t *data, size_t length) {
    if (length <= CHUNK_MIN_BYTES) return length;
    pthread_once(&gear_once, gear_fill);
    size_t end = length < CHUNK_MAX_BYTES ? length : CHUNK_MAX_BYTES;
    size_t average = end < CHUNK_AVG_BYTES ? end : CHUNK_AVG_BYTES;
    uint64_t hash = 0;
    size_t at = CHUNK_MIN_BYTES - 64; /* warm up, so that a cut right after the minimum counts */
    for (; at < CHUNK_MIN_BYTES; at++) hash = (hash << 1) + gear[data[at]];
    for (; at < average; at++) {
        hash = (hash << 1) + gear[data[at]];
        if (!(hash & MASK_BELOW)) return at + 1;
    }
    for (; at < end; at++) {
        hash = (hash << 1) + gear[data[at]];
        if (!(hash & MASK_ABOVE)) return at + 1;
    }
    return end;
}

bool chunk_is_zero(const void *data, size_t length) {
    const uint8_t *p = data;
    size_t head = length < 16 ? length : 16;
    for (size_t i = 0; i < head; i++)
        if (p[i]) return false;
    /* The first 16 bytes are zero; the rest is zero when it equals itself shifted by 16. */
    return length <= 16 || memcmp(p, p + 16, length - 16) == 0;
}
