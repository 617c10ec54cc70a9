/*
 * A connection to one bridge's OpenFlow management socket: handshake, requests, errors.
 *
 * Not thread-safe: its owner (switch.c) serialises calls. Deadlines are points of
 * clock_monotonic_ms(). After ERR_UNAVAILABLE and ERR_TIMEOUT the connection is closed, and
 * openflow_open() starts a new one.
 */
#ifndef JOGAK_NODEMGR_OPENFLOW_H
#define JOGAK_NODEMGR_OPENFLOW_H

#include "nodemgr/ofmsg.h"
#include "nodemgr/stream.h"

struct openflow {
    struct stream stream;
    uint32_t next_xid;
    uint64_t datapath_id;
    /* Sent since the start, for tests and diagnostics. */
    uint64_t flow_mods;
    uint64_t bundles;
};
#define OPENFLOW_INIT \
    { STREAM_INIT, 1, 0, 0, 0 }

/* Connect and shake hands (hello 1.4, features). Errors: ERR_UNAVAILABLE. */
int openflow_open(struct openflow *of, const char *path, int64_t deadline_ms, struct err *err);
void openflow_close(struct openflow *of);
/* True when the connection is up as far as can be told without sending anything. */
bool openflow_alive(struct openflow *of, int64_t deadline_ms);

/* One round trip. */
int openflow_echo(struct openflow *of, int64_t deadline_ms, struct err *err);
/* Returns when everything sent before has been processed. */
int openflow_barrier(struct openflow *of, int64_t deadline_ms, struct err *err);

/* Send one message (built with `xid`) and a barrier; the error that the switch answered, if any. */
int openflow_command(struct openflow *of, const struct buf *message, uint32_t xid,
                     int64_t deadline_ms, struct err *err);
uint32_t openflow_xid(struct openflow *of);

struct of_change {
    enum ofp_flow_mod_command command;
    const struct of_flow *flow;
};
/* All changes in one atomic, ordered bundle, then a barrier. On an error nothing has changed
 * (except after ERR_TIMEOUT and ERR_UNAVAILABLE, when the outcome is unknown), and the message
 * names the flow that was refused. */
int openflow_bundle(struct openflow *of, const struct of_change *changes, size_t count,
                    int64_t deadline_ms, struct err *err);

/* Send a multipart request and hand each part of the answer to `part` (which returns 0, or -1 with
 * *err filled to give up). */
typedef int openflow_part_fn(const struct ofmsg *part, void *ctx, struct err *err);
int openflow_multipart(struct openflow *of, const struct buf *request, uint32_t xid,
                       openflow_part_fn *part, void *ctx, int64_t deadline_ms, struct err *err);

#endif
