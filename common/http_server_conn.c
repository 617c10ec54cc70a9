#include "http_server_internal.h"

#include "ids.h"
#include "log.h"
#include "pki.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

LOG_MODULE("http.conn");

struct http_conn *http_conn_of(struct MHD_Connection *c) {
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void http_conn_enter(struct http_conn *conn, enum http_phase phase) {
    atomic_store_explicit(&conn->since_ms, http_server_now_ms(), memory_order_relaxed);
    atomic_store_explicit(&conn->phase, phase, memory_order_relaxed);
}

static void describe_address(const struct sockaddr *a, char *ret, size_t size) {
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (a && a->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        port = ntohs(v4->sin_port);
    } else if (a && a->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        port = ntohs(v6->sin6_port);
    }
    snprintf(ret, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

/* The loop whose daemon this connection belongs to. */
static struct http_loop *loop_of(struct http_server *s, struct MHD_Connection *c) {
    const struct MHD_Daemon *d = MHD_get_connection_info(c, MHD_CONNECTION_INFO_DAEMON)->daemon;
    for (unsigned i = 0; i < s->loop_count; i++)
        if (s->loops[i].daemon == d) return &s->loops[i];
    return NULL;
}

static struct http_conn *conn_new(struct http_server *s, struct MHD_Connection *c) {
    struct http_conn *conn = xcalloc(1, sizeof *conn);
    conn->server = s;
    conn->impl = c;
    conn->loop = loop_of(s, c);
    conn->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    describe_address(MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
                     conn->peer.address, sizeof conn->peer.address);
    http_conn_enter(conn, HTTP_PHASE_IDLE);
    WITH_LOCK(&s->lock);
    conn->next = s->conns;
    if (conn->next) conn->next->previous = conn;
    s->conns = conn;
    return conn;
}

static void conn_free(struct http_conn *conn) {
    struct http_server *s = conn->server;
    {
        WITH_LOCK(&s->lock);
        if (conn->next) conn->next->previous = conn->previous;
        if (conn->previous) conn->previous->next = conn->next;
        else s->conns = conn->next;
    }
    free(conn);
}

void http_conn_notify(void *cls, struct MHD_Connection *c, void **context,
                      enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED) *context = conn_new(cls, c);
    else if (*context) conn_free(STEAL(*context));
}

static int verify_chain(gnutls_session_t session, struct err *err) {
    gnutls_typed_vdata_st purpose = { GNUTLS_DT_KEY_PURPOSE_OID,
                                      (void *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT, 0 };
    unsigned status = 0;
    int rc = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
    if (rc == 0 && status == 0) return 0;
    gnutls_datum_t why = { NULL, 0 };
    if (rc == 0) gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0);
    err_set(err, ERR_UNAUTHENTICATED, "your certificate does not verify: %s",
            rc ? gnutls_strerror(rc) : why.data ? (const char *)why.data : "unknown reason");
    gnutls_free(why.data);
    return err_remedy(err, "enrol again, or use the certificate of this testbed's authority");
}

static int read_peer(gnutls_session_t session, struct http_peer *peer, struct err *err) {
    unsigned count = 0;
    const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &count);
    if (!certs || count == 0) return 0;
    struct pki_cert cert;
    struct urn urn;
    if (verify_chain(session, err)) return -1;
    if (pki_cert_read_der(certs[0].data, certs[0].size, &cert, err) ||
        urn_parse(cert.urn, &urn, err)) {
        if (err) err->code = ERR_UNAUTHENTICATED;
        return err_wrap(err, "your certificate");
    }
    snprintf(peer->urn, sizeof peer->urn, "%s", cert.urn);
    snprintf(peer->type, sizeof peer->type, "%s", urn.type);
    snprintf(peer->serial, sizeof peer->serial, "%s", cert.serial);
    return 0;
}

int http_conn_know(struct http_conn *conn, struct err *err) {
    if (conn->known) return 0;
    if (conn->server->tls) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(conn->impl, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        if (!info) return err_set(err, ERR_INTERNAL, "no TLS session");
        if (read_peer(info->tls_session, &conn->peer, err)) return -1;
    }
    conn->known = true;
    return 0;
}

static bool overstayed(const struct http_conn *conn, int64_t now_ms) {
    static const int64_t limits_ms[] = { [HTTP_PHASE_IDLE] = HTTP_IDLE_MS,
                                         [HTTP_PHASE_BODY] = HTTP_BODY_MS,
                                         [HTTP_PHASE_REPLY] = HTTP_REPLY_MS,
                                         [HTTP_PHASE_STREAM] = INT64_MAX };
    return now_ms - atomic_load(&conn->since_ms) > limits_ms[atomic_load(&conn->phase)];
}

/* Connections leave the list before their sockets are closed, so the descriptors seen under the
 * lock are theirs. The library then meets an end of file and cleans up. */
void *http_conn_reap(void *arg) {
    struct http_server *s = arg;
    WITH_LOCK(&s->lock);
    while (!atomic_load(&s->stopping)) {
        int64_t now_ms = http_server_now_ms();
        for (struct http_conn *c = s->conns; c; c = c->next)
            if (overstayed(c, now_ms)) shutdown(c->fd, SHUT_RDWR);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 2;
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    }
    return NULL;
}
