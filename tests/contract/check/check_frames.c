/*
 * check_frames FILE: each frame of a pcap through the node's eBPF program, in the kernel. The node has the slices
 * 7 (slice types 1 and 2, 128 of 8 bytes and 129 of 52 of its own) and 4294967295. A line for each frame: what was
 * counted, and the verdict; "none" for frames that the kernel itself does not take.
 */
#include "frame/pcap.h"
#include "nodemgr/ebpf.h"

#include "common/mem.h"

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>

static uint8_t capture[1 << 20];

static int fail(const struct err *err) {
    fprintf(stderr, "check_frames: %s\n", err->msg);
    return 1;
}

static struct ebpf *node(struct err *err) {
    struct ebpf *e = ebpf_load(NULL, err);
    /* Any device serves: a test run sends nothing. */
    struct ebpf_slice s = { .id = 7, .ifindex = if_nametoindex("lo"), .mtu = 65535, .types = 1u << 1 | 1u << 2 };
    if (!e) return NULL;
    if (ebpf_slice_set(e, &s, err) == 0 && (s.id = UINT32_MAX, ebpf_slice_set(e, &s, err)) == 0 &&
        ebpf_layout_set(e, 7, 128, 8, err) == 0 && ebpf_layout_set(e, 7, 129, 52, err) == 0)
        return e;
    ebpf_free(e);
    return NULL;
}

static const char *verdict_name(uint32_t verdict) {
    return verdict == XDP_REDIRECT ? "redirect" : verdict == XDP_PASS ? "pass" : verdict == XDP_DROP ? "drop" : "?";
}

static int try_one(struct ebpf *e, const uint8_t *frame, size_t length, struct err *err) {
    struct ebpf_counters before, after;
    uint32_t verdict;
    if (length < JOGAK_FRAME_ETHERNET_BYTES) return puts("none none") < 0;
    if (ebpf_counters_read(e, &before, err) || ebpf_try(e, SLICE_WIRE_IN, frame, length, 1, &verdict, NULL, err) ||
        ebpf_counters_read(e, &after, err))
        return -1;
    for (unsigned r = 0; r < SLICE_REASONS; r++)
        if (after.frames[SLICE_WIRE_IN][r] != before.frames[SLICE_WIRE_IN][r])
            printf("%s %s\n", ebpf_reason_name(r), verdict_name(verdict));
    return 0;
}

int main(int argc, char **argv) {
    struct err err = ERR_INIT;
    struct pcap_reader r;
    const uint8_t *frame;
    size_t length;
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!f) return 2;
    length = fread(capture, 1, sizeof capture, f);
    fclose(f);
    if (pcap_open(&r, capture, length, &err)) return fail(&err);
    struct ebpf *e = node(&err);
    int rc = e ? 0 : -1;
    while (rc == 0 && pcap_next(&r, &frame, &length, &err) == 1) rc = try_one(e, frame, length, &err);
    ebpf_free(e);
    return rc ? fail(&err) : 0;
}
