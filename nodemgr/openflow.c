#include "nodemgr/openflow.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

LOG_MODULE("nm.openflow");

#define FLUSH_BYTES (256u << 10) /* of a bundle, before they are handed to the socket */

void openflow_close(struct openflow *of) { stream_close(&of->stream); }

uint32_t openflow_xid(struct openflow *of) {
    if (of->next_xid == 0) of->next_xid = 1; /* 0 is what errors without a request carry */
    return of->next_xid++;
}

static int send_buf(struct openflow *of, const struct buf *b, int64_t deadline_ms,
                    struct err *err) {
    return stream_send(&of->stream, b->data, b->length, deadline_ms, err);
}

/* The first buffered message, when it is whole. 1: got one (valid until it is consumed), 0, -1. */
static int peek_message(struct openflow *of, struct ofmsg *ret, struct err *err) {
    if (of->stream.length < OFP_HEADER_BYTES) return 0;
    const uint8_t *p = (const uint8_t *)stream_peek(&of->stream);
    *ret = (struct ofmsg){ p[1], wire_get_u16(p + 2), wire_get_u32(p + 4), p };
    if (ret->length < OFP_HEADER_BYTES) {
        openflow_close(of);
        return err_set(err, ERR_UNAVAILABLE, "the switch sent a malformed header");
    }
    return of->stream.length >= ret->length;
}

static int answer_echo(struct openflow *of, const struct ofmsg *request, int64_t deadline_ms,
                       struct err *err) {
    AUTO_BUF struct buf out = BUF_INIT;
    ofmsg_echo_reply(&out, request);
    return send_buf(of, &out, deadline_ms, err);
}

/* Wait for the next message, answering echo requests meanwhile. The caller consumes it. */
static int receive(struct openflow *of, struct ofmsg *ret, int64_t deadline_ms, struct err *err) {
    for (;;) {
        int got = peek_message(of, ret, err);
        if (got < 0) return -1;
        if (got > 0 && ret->type != OFPT_ECHO_REQUEST) return 0;
        if (got > 0) {
            uint16_t length = ret->length;
            if (answer_echo(of, ret, deadline_ms, err)) return -1;
            stream_consume(&of->stream, length);
            continue;
        }
        if (stream_receive(&of->stream, deadline_ms, err)) {
            openflow_close(of); /* a late answer must not meet the next request */
            return -1;
        }
    }
}

/* --- connecting --- */

static int expect_hello(struct openflow *of, int64_t deadline_ms, struct err *err) {
    struct ofmsg m;
    if (receive(of, &m, deadline_ms, err)) return -1;
    int rc = 0;
    if (m.type == OFPT_ERROR)
        rc = ofmsg_to_err(&m, err);
    else if (m.type != OFPT_HELLO || m.data[0] < OFP14_VERSION)
        rc = err_set(err, ERR_UNAVAILABLE, "the switch offers OpenFlow version %u, not 1.4",
                     m.data[0]);
    stream_consume(&of->stream, m.length);
    return rc;
}

static int expect_features(struct openflow *of, int64_t deadline_ms, struct err *err) {
    struct ofmsg m;
    if (receive(of, &m, deadline_ms, err)) return -1;
    int rc = 0;
    if (m.type == OFPT_ERROR)
        rc = ofmsg_to_err(&m, err);
    else if (m.type != OFPT_FEATURES_REPLY || m.length < 16)
        rc = err_set(err, ERR_UNAVAILABLE, "the switch answered features with type %u", m.type);
    else
        of->datapath_id = wire_get_u64(m.data + 8);
    stream_consume(&of->stream, m.length);
    return rc;
}

int openflow_open(struct openflow *of, const char *path, int64_t deadline_ms, struct err *err) {
    if (stream_open(&of->stream, path, err)) return -1;
    AUTO_BUF struct buf out = BUF_INIT;
    ofmsg_hello(&out, openflow_xid(of));
    if (send_buf(of, &out, deadline_ms, err) || expect_hello(of, deadline_ms, err)) goto fail;
    out.length = 0;
    ofmsg_bare(&out, OFPT_FEATURES_REQUEST, openflow_xid(of));
    if (send_buf(of, &out, deadline_ms, err) || expect_features(of, deadline_ms, err)) goto fail;
    log_info("switch connected", "socket=%s datapath_id=%016llx", path,
             (unsigned long long)of->datapath_id);
    return 0;
fail:
    openflow_close(of);
    return err_wrap(err, "OpenFlow on %s", path);
}

/* Drop messages that nobody waits for. */
static int discard_pending(struct openflow *of, int64_t deadline_ms) {
    struct ofmsg m;
    int got;
    while ((got = peek_message(of, &m, NULL)) > 0) {
        uint16_t length = m.length;
        if (m.type == OFPT_ECHO_REQUEST && answer_echo(of, &m, deadline_ms, NULL)) return -1;
        stream_consume(&of->stream, length);
    }
    return got;
}

bool openflow_alive(struct openflow *of, int64_t deadline_ms) {
    stream_drain(&of->stream);
    return stream_is_open(&of->stream) && discard_pending(of, deadline_ms) == 0 &&
           stream_is_open(&of->stream);
}

/* --- requests --- */

/* Consume messages until the one of this type and xid; the first error before it is kept. */
static int await_reply(struct openflow *of, enum ofp_type type, uint32_t xid, struct err *refused,
                       uint32_t *ret_refused_xid, int64_t deadline_ms, struct err *err) {
    for (;;) {
        struct ofmsg m;
        if (receive(of, &m, deadline_ms, err)) return -1;
        bool done = m.xid == xid && (m.type == type || m.type == OFPT_ERROR);
        if (m.type == OFPT_ERROR && refused->code == ERR_NONE) {
            ofmsg_to_err(&m, refused);
            *ret_refused_xid = m.xid;
        }
        stream_consume(&of->stream, m.length);
        if (done) return 0;
    }
}

/* Send `out` followed by a barrier and wait for it. */
static int fence(struct openflow *of, struct buf *out, struct err *refused, uint32_t *ret_xid,
                 int64_t deadline_ms, struct err *err) {
    uint32_t xid = openflow_xid(of);
    ofmsg_bare(out, OFPT_BARRIER_REQUEST, xid);
    if (send_buf(of, out, deadline_ms, err)) return -1;
    out->length = 0;
    return await_reply(of, OFPT_BARRIER_REPLY, xid, refused, ret_xid, deadline_ms, err);
}

static int refuse(struct err *err, const struct err *refused) {
    if (err) *err = *refused;
    return -1;
}

int openflow_echo(struct openflow *of, int64_t deadline_ms, struct err *err) {
    AUTO_BUF struct buf out = BUF_INIT;
    struct err refused = ERR_INIT;
    uint32_t xid = openflow_xid(of), refused_xid = 0;
    ofmsg_bare(&out, OFPT_ECHO_REQUEST, xid);
    if (send_buf(of, &out, deadline_ms, err)) return -1;
    return await_reply(of, OFPT_ECHO_REPLY, xid, &refused, &refused_xid, deadline_ms, err);
}

int openflow_barrier(struct openflow *of, int64_t deadline_ms, struct err *err) {
    static const struct buf nothing = BUF_INIT;
    return openflow_command(of, &nothing, 0, deadline_ms, err);
}

int openflow_command(struct openflow *of, const struct buf *message, uint32_t xid,
                     int64_t deadline_ms, struct err *err) {
    AUTO_BUF struct buf out = BUF_INIT;
    struct err refused = ERR_INIT;
    uint32_t refused_xid = 0;
    buf_add(&out, message->data, message->length);
    if (fence(of, &out, &refused, &refused_xid, deadline_ms, err)) return -1;
    if (refused.code == ERR_NONE) return 0;
    if (refused_xid != xid) err_wrap(&refused, "message %u", refused_xid);
    return refuse(err, &refused);
}

/* --- bundles --- */

/* Append the changes to an open bundle; *ret_first_xid numbers the first, the others follow. */
static int send_changes(struct openflow *of, uint32_t bundle, const struct of_change *changes,
                        size_t count, struct buf *out, int64_t deadline_ms, struct err *err) {
    AUTO_BUF struct buf inner = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        uint32_t xid = openflow_xid(of);
        inner.length = 0;
        ofmsg_flow_mod(&inner, xid, changes[i].command, changes[i].flow);
        ofmsg_bundle_add(out, xid, bundle, &inner);
        if (out->length < FLUSH_BYTES) continue;
        if (send_buf(of, out, deadline_ms, err)) return -1;
        out->length = 0;
    }
    of->flow_mods += count;
    of->bundles++;
    return 0;
}

/* Say which flow it was: xids of a bundle count up without gaps. */
static void name_refused(struct err *refused, uint32_t xid, uint32_t first,
                         const struct of_change *changes, size_t count) {
    if (xid < first || xid - first >= count) return;
    const struct of_change *c = &changes[xid - first];
    AUTO_BUF struct buf text = BUF_INIT;
    of_flow_print(c->flow, &text);
    err_wrap(refused, "%s flow %.600s", c->command == OFPFC_ADD ? "add" : "delete", text.data);
}

static void discard_bundle(struct openflow *of, uint32_t bundle, struct buf *out,
                           int64_t deadline_ms) {
    struct err ignored = ERR_INIT;
    uint32_t xid = 0;
    out->length = 0;
    ofmsg_bundle_control(out, openflow_xid(of), bundle, OFPBCT_DISCARD_REQUEST);
    if (fence(of, out, &ignored, &xid, deadline_ms, NULL)) openflow_close(of);
}

int openflow_bundle(struct openflow *of, const struct of_change *changes, size_t count,
                    int64_t deadline_ms, struct err *err) {
    AUTO_BUF struct buf out = BUF_INIT;
    struct err refused = ERR_INIT;
    uint32_t refused_xid = 0;
    if (of->next_xid > UINT32_MAX - count - 8) of->next_xid = 1;
    uint32_t bundle = openflow_xid(of), first = bundle + 1;
    ofmsg_bundle_control(&out, bundle, bundle, OFPBCT_OPEN_REQUEST);
    if (send_changes(of, bundle, changes, count, &out, deadline_ms, err)) return -1;
    /* A switch that refused one message may still commit the others, so ask before committing. */
    if (fence(of, &out, &refused, &refused_xid, deadline_ms, err)) return -1;
    if (refused.code == ERR_NONE) {
        ofmsg_bundle_control(&out, openflow_xid(of), bundle, OFPBCT_COMMIT_REQUEST);
        if (fence(of, &out, &refused, &refused_xid, deadline_ms, err)) return -1;
        if (refused.code == ERR_NONE) return 0;
    }
    name_refused(&refused, refused_xid, first, changes, count);
    discard_bundle(of, bundle, &out, deadline_ms);
    return refuse(err, &refused);
}

/* --- multipart --- */

int openflow_multipart(struct openflow *of, const struct buf *request, uint32_t xid,
                       openflow_part_fn *part, void *ctx, int64_t deadline_ms, struct err *err) {
    if (send_buf(of, request, deadline_ms, err)) return -1;
    for (bool more = true; more;) {
        struct ofmsg m;
        uint16_t type = 0;
        if (receive(of, &m, deadline_ms, err)) return -1;
        int rc = 0;
        if (m.xid != xid)
            log_debug("stray message", "type=%u xid=%u", m.type, m.xid);
        else if (m.type == OFPT_ERROR)
            rc = ofmsg_to_err(&m, err);
        else if (ofmsg_multipart(&m, &type, &more, err) || part(&m, ctx, err))
            rc = -1;
        stream_consume(&of->stream, m.length);
        if (rc == 0) continue;
        if (m.type != OFPT_ERROR) openflow_close(of); /* the rest of the answer is unwanted */
        return -1;
    }
    return 0;
}
