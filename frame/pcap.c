#include "frame/pcap.h"

#include "frame/jogak-frame.h"

#define MAGIC_US 0xa1b2c3d4u
#define MAGIC_NS 0xa1b23c4du
#define LINK_ETHERNET 1
#define RECORD_BYTES 16

static uint32_t number(const struct pcap_reader *r, size_t at) {
    uint32_t v = jogak_frame_get32(r->bytes + at);
    return r->swapped ? __builtin_bswap32(v) : v;
}

static bool is_magic(uint32_t magic) { return magic == MAGIC_US || magic == MAGIC_NS; }

bool pcap_is(const uint8_t *bytes, size_t length) {
    if (length < 4) return false;
    uint32_t magic = jogak_frame_get32(bytes);
    return is_magic(magic) || is_magic(__builtin_bswap32(magic));
}

int pcap_open(struct pcap_reader *r, const uint8_t *bytes, size_t length, struct err *err) {
    if (!pcap_is(bytes, length) || length < PCAP_HEADER_BYTES)
        return err_set(err, ERR_INVALID, "this is no pcap file");
    *r = (struct pcap_reader){ .bytes = bytes, .length = length, .at = PCAP_HEADER_BYTES };
    r->swapped = !is_magic(jogak_frame_get32(bytes));
    if ((number(r, 20) & 0xffff) != LINK_ETHERNET)
        return err_set(err, ERR_UNSUPPORTED, "the capture is of link type %u, not of Ethernet",
                       number(r, 20) & 0xffff);
    return 0;
}

int pcap_next(struct pcap_reader *r, const uint8_t **ret_frame, size_t *ret_length,
              struct err *err) {
    size_t left = r->length - r->at;
    if (left == 0) return 0;
    if (left < RECORD_BYTES) return err_set(err, ERR_INVALID, "the capture breaks off");
    uint32_t length = number(r, r->at + 8);
    if (length > PCAP_FRAME_MAX || length > left - RECORD_BYTES)
        return err_set(err, ERR_INVALID, "the capture breaks off, or has a frame of %u bytes",
                       length);
    *ret_frame = r->bytes + r->at + RECORD_BYTES;
    *ret_length = length;
    r->at += RECORD_BYTES + length;
    return 1;
}

int pcap_begin(FILE *out) {
    uint8_t header[PCAP_HEADER_BYTES] = { 0 };
    jogak_frame_put32(header, MAGIC_US);
    jogak_frame_put16(header + 4, 2);
    jogak_frame_put16(header + 6, 4);
    jogak_frame_put32(header + 16, PCAP_FRAME_MAX);
    jogak_frame_put32(header + 20, LINK_ETHERNET);
    return fwrite(header, sizeof header, 1, out) == 1 ? 0 : -1;
}

int pcap_add(FILE *out, int64_t time_us, const uint8_t *frame, size_t length) {
    uint8_t record[RECORD_BYTES];
    jogak_frame_put32(record, (uint32_t)(time_us / 1000000));
    jogak_frame_put32(record + 4, (uint32_t)(time_us % 1000000));
    jogak_frame_put32(record + 8, (uint32_t)length);
    jogak_frame_put32(record + 12, (uint32_t)length);
    if (fwrite(record, sizeof record, 1, out) != 1) return -1;
    return length == 0 || fwrite(frame, length, 1, out) == 1 ? 0 : -1;
}
