/* Bytes from a hostile peer: the tunnel's decoder and streams, its hello, a batch of held frames. */
#include "nodemgr/held.h"
#include "nodemgr/tunnel_mux.h"

#include "common/log.h"

#include <sys/epoll.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_frame(void *ctx, const struct wire_frame *f, const uint8_t *payload,
                    struct err *err) {
    return f->type <= WIRE_RESET ? mux_frame(ctx, f, payload, err) : 0;
}

static int on_data(void *ctx, uint32_t stream, const uint8_t *bytes, size_t length,
                   struct err *err) {
    return mux_data(ctx, stream, bytes, length, err);
}

static void fuzz_streams(const uint8_t *data, size_t size) {
    static uint8_t out[WIRE_HEADER_BYTES + WIRE_DATA_MAX];
    struct mux m;
    struct err err = ERR_INIT;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    mux_init(&m, epoll_fd, false, WIRE_WINDOW_MIN);
    m.window_theirs = WIRE_WINDOW_MIN;
    struct wire_decoder d = { .ctx = &m, .on_frame = on_frame, .on_data = on_data };
    size_t cut = size ? data[0] + 1u : 1; /* where reads end is the peer's choice too */
    for (size_t at = 0; at < size; at += cut) {
        if (wire_feed(&d, data + at, size - at < cut ? size - at : cut, &err)) break;
        mux_tick(&m);
        while (mux_pull(&m, out, sizeof out) > 0)
            ;
    }
    wire_decoder_done(&d);
    mux_done(&m);
    close(epoll_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wire_hello hello;
    uint32_t window;
    const void *header, *frame;
    size_t offset = 0, length;
    log_set_levels("error");
    fuzz_streams(data, size);
    if (size <= WIRE_HELLO_MAX) {
        wire_read_hello((const char *)data, size, &hello, NULL);
        wire_read_answer((const char *)data, size, &window, NULL);
    }
    if (size >= WIRE_PREFACE_BYTES) wire_read_preface(data, &window, NULL);
    while (held_batch_next(data, size, &offset, &header, &frame, &length, NULL) > 0)
        ;
    return 0;
}
