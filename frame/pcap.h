/*
 * Captures (pcap, both byte orders, microseconds or nanoseconds) of Ethernet frames: as much of the
 * format as it takes to read what tcpdump and Wireshark write, and to write what they read.
 */
#ifndef JOGAK_FRAME_PCAP_H
#define JOGAK_FRAME_PCAP_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCAP_HEADER_BYTES 24
#define PCAP_FRAME_MAX 262144u /* a record that claims more is refused */

/* A capture in memory, borrowed. `at` is the next record. */
struct pcap_reader {
    const uint8_t *bytes;
    size_t length, at;
    bool swapped; /* written by a machine of the other byte order than most significant first */
};
/* Do these bytes begin as a capture does? */
bool pcap_is(const uint8_t *bytes, size_t length);
/* Errors: ERR_INVALID (no capture), ERR_UNSUPPORTED (not of Ethernet). */
int pcap_open(struct pcap_reader *r, const uint8_t *bytes, size_t length, struct err *err);
/* 1 and the next frame (borrowed), 0 at the end, -1 with ERR_INVALID when the file breaks off. */
int pcap_next(struct pcap_reader *r, const uint8_t **ret_frame, size_t *ret_length,
              struct err *err);

/* Writing: the header once, then frames. 0, or -1 when the stream does not take it (errno). */
int pcap_begin(FILE *out);
int pcap_add(FILE *out, int64_t time_us, const uint8_t *frame, size_t length);

#endif
