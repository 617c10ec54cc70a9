/*
 * The migration tunnel over loopback, with real certificates and real UNIX sockets.
 */
#include "nodemgr/tunnel.h"
#include "nodemgr/tunnel_wire.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/pki.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define CA_URN "urn:publicid:IDN+example.org+authority+ca"
#define NODE_A "urn:publicid:IDN+example.org+node+a"
#define NODE_B "urn:publicid:IDN+example.org+node+b"
#define USER "urn:publicid:IDN+example.org+user+u"
#define MIGRATION "6f1c2f6e-3c52-4a0e-9a55-0c8b6f0e2d11"
#define OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, err.msg)

static struct err err;
static char dir[64], path[128];
static char *ca_key, *ca, *keys[4], *certs[4];
static struct tunnel_identity id_a, id_b, id_user, id_foreign;

static const char *in_dir(const char *name) {
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static struct tunnel_identity identity_new(int slot, const char *urn, const char *with_key,
                                           const char *with_ca) {
    keys[slot] = pki_key_new(&err);
    char *csr AUTO_FREE = pki_csr_new(keys[slot], urn, &err);
    struct pki_issue what = { with_key, with_ca, csr, urn, NULL, PKI_USE_CLIENT | PKI_USE_SERVER,
                              clock_wall_ms() + 3600000 };
    certs[slot] = pki_issue(&what, &err);
    ck_assert_msg(certs[slot] != NULL, "%s", err.msg);
    return (struct tunnel_identity){ certs[slot], keys[slot], ca };
}

/* --- the target's agent --- */

struct target {
    struct tunnel_listener *l;
    struct tunnel *_Atomic t;
    int64_t epoch;         /* expected */
    int retry_ms;
    _Atomic int closed;    /* 1: gracefully, 2: with an error */
    struct err why;
    _Atomic int messages;
    struct buf got;
};
static struct target target;

static int on_message(void *ctx, struct tunnel *t, enum tunnel_kind kind, const char *label,
                      const void *data, size_t length, struct err *e) {
    (void)ctx;
    (void)t;
    if (strcmp(label, "bad") == 0) return err_set(e, ERR_NOT_FOUND, "no such tap: %s", label);
    ck_assert_int_eq(kind, TUNNEL_HELD);
    buf_add(&target.got, data, length);
    target.messages++;
    return 0;
}

static void on_closed(void *ctx, struct tunnel *t, const struct err *why) {
    struct target *who = ctx;
    (void)t;
    if (why) who->why = *why;
    who->closed = why ? 2 : 1;
}

static int accept_tunnel(void *ctx, struct tunnel *t, const struct tunnel_hello *hello,
                         const char *peer_urn, struct tunnel_events *ret_events, struct err *e) {
    char p[128];
    (void)ctx;
    if (strcmp(hello->migration, MIGRATION) != 0 || strcmp(peer_urn, NODE_A) != 0)
        return err_set(e, ERR_NOT_FOUND, "no such migration is expected");
    if (hello->epoch != target.epoch)
        return err_set(e, ERR_STALE_EPOCH, "epoch %d is over", (int)hello->epoch);
    const char *const names[] = { "t-libvirt", "t-mig", "t-nbd" };
    for (int k = 0; k < 3; k++) {
        snprintf(p, sizeof p, "%s/%s", dir, names[k]);
        tunnel_target_socket(t, (enum tunnel_kind)k, p, target.retry_ms, NULL);
    }
    *ret_events = (struct tunnel_events){ &target, on_message, on_closed };
    target.t = t;
    return 0;
}

static void setup(void) {
    signal(SIGPIPE, SIG_IGN);
    snprintf(dir, sizeof dir, "/tmp/jogak-tunnel-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    err_clear(&err);
    ca_key = pki_key_new(&err);
    ca = pki_authority_new(ca_key, CA_URN, 10, &err);
    id_a = identity_new(0, NODE_A, ca_key, ca);
    id_b = identity_new(1, NODE_B, ca_key, ca);
    id_user = identity_new(2, USER, ca_key, ca);
    char *other_key = pki_key_new(&err), *other_ca = pki_authority_new(other_key, CA_URN, 1, &err);
    id_foreign = identity_new(3, NODE_A, other_key, other_ca);
    pki_wipe(other_key);
    free(other_ca);
    target = (struct target){ .epoch = 7, .retry_ms = 3000 };
    target.l = tunnel_listener_new("127.0.0.1", 0, &id_b, accept_tunnel, NULL, &err);
    ck_assert_msg(target.l != NULL, "%s", err.msg);
}

static void teardown(void) {
    tunnel_listener_free(target.l);
    tunnel_free(target.t);
    buf_done(&target.got);
    static const char *const names[] = { "t-libvirt", "t-mig", "t-nbd", "libvirt", "mig", "nbd" };
    for (size_t i = 0; i < COUNT_OF(names); i++) unlink(in_dir(names[i]));
    ck_assert_int_eq(rmdir(dir), 0); /* nothing else is left behind */
    for (int i = 0; i < 4; i++) {
        pki_wipe(keys[i]);
        free(certs[i]);
    }
    pki_wipe(ca_key);
    free(ca);
}

static struct tunnel *source_as(const struct tunnel_identity *id, int64_t epoch,
                                const char *peer, struct target *events) {
    struct tunnel_hello hello = { MIGRATION, epoch, 31 };
    struct tunnel_events e = { events, NULL, events ? on_closed : NULL };
    return tunnel_connect("127.0.0.1", tunnel_listener_port(target.l), id, peer, &hello, &e, 3000,
                          &err);
}

static struct tunnel *source(void) {
    struct tunnel *t = source_as(&id_a, 7, NODE_B, NULL);
    ck_assert_msg(t != NULL, "%s", err.msg);
    OK(tunnel_serve_socket(t, TUNNEL_LIBVIRT, in_dir("libvirt"), 0600, &err));
    OK(tunnel_serve_socket(t, TUNNEL_MEMORY, in_dir("mig"), 0600, &err));
    OK(tunnel_serve_socket(t, TUNNEL_NBD, in_dir("nbd"), 0666, &err));
    return t;
}

/* --- local sockets --- */

static struct sockaddr_un address(const char *name) {
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", dir, name);
    return a;
}

static int dial(const char *name) {
    struct sockaddr_un a = address(name);
    struct timeval limit = { 10, 0 };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ck_assert_msg(connect(fd, (struct sockaddr *)&a, sizeof a) == 0, "%s: %s", name,
                  strerror(errno));
    return fd;
}

static int bind_local(const char *name) {
    struct sockaddr_un a = address(name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    return fd;
}

/* Serves `conns` connections, one thread each: gives back what it gets, then its own end. */
static void *echo_one(void *arg) {
    int fd = (int)(intptr_t)arg;
    char b[65536];
    for (ssize_t n; (n = read(fd, b, sizeof b)) > 0;)
        for (ssize_t at = 0, w; at < n; at += w)
            if ((w = write(fd, b + at, (size_t)(n - at))) < 0) goto out;
out:
    close(fd);
    return NULL;
}

static void *echo_run(void *arg) {
    int fd = (int)(intptr_t)arg, conn;
    while ((conn = accept(fd, NULL, NULL)) >= 0) {
        pthread_t t;
        pthread_create(&t, NULL, echo_one, (void *)(intptr_t)conn);
        pthread_detach(t);
    }
    return NULL;
}

struct echo {
    int fd;
    pthread_t thread;
};
static struct echo echo_start(const char *name) {
    struct echo e = { .fd = bind_local(name) };
    pthread_create(&e.thread, NULL, echo_run, (void *)(intptr_t)e.fd);
    return e;
}
static void echo_stop(struct echo *e) {
    shutdown(e->fd, SHUT_RDWR);
    pthread_join(e->thread, NULL);
    close(e->fd);
}

static void say(int fd, const char *text) {
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}
static void hear(int fd, const char *text) {
    char b[256] = "";
    size_t have = 0;
    while (have < strlen(text)) {
        ssize_t n = read(fd, b + have, strlen(text) - have);
        ck_assert_msg(n > 0, "read: %s", n ? strerror(errno) : "end");
        have += (size_t)n;
    }
    ck_assert_str_eq(b, text);
}
static void hear_end(int fd) {
    char b;
    ck_assert_int_eq(read(fd, &b, 1), 0);
}

/* --- tests --- */

START_TEST(streams_both_ways) {
    struct echo l = echo_start("t-libvirt"), n = echo_start("t-nbd");
    struct tunnel *t = source();
    struct stat st;
    ck_assert(stat(in_dir("nbd"), &st) == 0 && (st.st_mode & 0777) == 0666);
    ck_assert(stat(in_dir("mig"), &st) == 0 && (st.st_mode & 0777) == 0600);
    int fds[12];
    for (int i = 0; i < 12; i++) fds[i] = dial(i % 3 ? "nbd" : "libvirt");
    char text[32];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12; i++) {
            snprintf(text, sizeof text, "stream %d round %d", i, round);
            say(fds[i], text);
        }
        for (int i = 0; i < 12; i++) {
            snprintf(text, sizeof text, "stream %d round %d", i, round);
            hear(fds[i], text);
        }
    }
    struct tunnel_stats s;
    tunnel_stats(t, &s);
    ck_assert_uint_eq(s.kind[TUNNEL_NBD].streams_now, 8);
    ck_assert_uint_eq(s.kind[TUNNEL_LIBVIRT].streams_total, 4);
    ck_assert_uint_gt(s.kind[TUNNEL_NBD].sent_bytes, 8 * 3 * 15);
    ck_assert_uint_eq(s.kind[TUNNEL_NBD].sent_bytes, s.kind[TUNNEL_NBD].received_bytes);
    ck_assert_int_gt(s.round_trip_us, 0);
    for (int i = 0; i < 12; i++) { /* half-close: the echo still answers, then ends */
        say(fds[i], "last");
        shutdown(fds[i], SHUT_WR);
        hear(fds[i], "last");
        hear_end(fds[i]);
        close(fds[i]);
    }
    OK(tunnel_close(t, 3000, &err));
    ck_assert_int_eq(access(in_dir("mig"), F_OK), -1);
    for (int i = 0; i < 1000 && !target.closed; i++) usleep(1000);
    ck_assert_int_eq(target.closed, 1);
    tunnel_free(t);
    echo_stop(&l);
    echo_stop(&n);
}
END_TEST

/* The target's socket appears after the stream was opened and has sent data. */
START_TEST(late_target) {
    struct tunnel *t = source();
    int fd = dial("mig");
    say(fd, "early");
    usleep(100000);
    struct echo e = echo_start("t-mig");
    hear(fd, "early");
    close(fd);
    tunnel_free(t);
    echo_stop(&e);
}
END_TEST

START_TEST(absent_target) {
    target.retry_ms = 50;
    struct tunnel *t = source();
    int fd = dial("mig");
    hear_end(fd);
    close(fd);
    struct tunnel_stats s;
    tunnel_stats(t, &s);
    ck_assert(!s.ended);
    ck_assert_uint_eq(s.kind[TUNNEL_MEMORY].streams_now, 0);
    tunnel_free(t);
}
END_TEST

/* The target's program goes away: the client at the source sees it, the tunnel lives on. */
START_TEST(reset_by_target) {
    int listener = bind_local("t-mig");
    struct tunnel *t = source();
    int fd = dial("mig");
    say(fd, "x");
    int conn = accept(listener, NULL, NULL);
    close(conn);
    hear_end(fd);
    while (send(fd, "y", 1, MSG_NOSIGNAL) == 1) usleep(1000); /* until the reset has arrived */
    ck_assert_int_eq(errno, EPIPE);
    close(fd);
    close(listener);
    OK(tunnel_close(t, 3000, &err));
    tunnel_free(t);
}
END_TEST

static size_t socket_buffer_bytes(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), bytes = 0;
    socklen_t length = sizeof bytes;
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &length), 0);
    close(fd);
    return (size_t)bytes;
}

/* A memory stream that nobody reads must not stop libvirt's. */
START_TEST(no_head_of_line_blocking) {
    int stalled = bind_local("t-mig");
    struct echo l = echo_start("t-libvirt");
    struct tunnel *t = source();
    int mem = dial("mig"), rpc = dial("libvirt");
    size_t pushed = 0;
    char *block AUTO_FREE = xcalloc(1, 1 << 20);
    for (int idle = 0; idle < 50;) {
        ssize_t n = send(mem, block, 1 << 20, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) pushed += (size_t)n, idle = 0;
        else idle++, usleep(2000);
    }
    ck_assert_uint_ge(pushed, 2u << 20); /* a window's worth, and socket buffers */
    /* ... and no more: the buffers are two UNIX sockets', of the size that the system gives them. */
    ck_assert_uint_lt(pushed, (8u << 20) + 4 * socket_buffer_bytes());
    int64_t start = clock_monotonic_us();
    for (int i = 0; i < 20; i++) {
        say(rpc, "call");
        hear(rpc, "call");
    }
    ck_assert_int_lt(clock_monotonic_us() - start, 2000000);
    int conn = accept(stalled, NULL, NULL); /* and the rest arrives when somebody reads */
    shutdown(mem, SHUT_WR);
    size_t got = 0;
    for (ssize_t n; (n = read(conn, block, 1 << 20)) > 0;) got += (size_t)n;
    ck_assert_uint_eq(got, pushed);
    close(conn);
    close(mem);
    close(rpc);
    close(stalled);
    OK(tunnel_close(t, 3000, &err));
    tunnel_free(t);
    echo_stop(&l);
}
END_TEST

/* --- throughput, with every byte checked --- */

#define BULK (96u << 20)
static void *push_bulk(void *arg) {
    int fd = (int)(intptr_t)arg;
    uint64_t block[16384];
    for (uint64_t at = 0; at < BULK / 8; at += COUNT_OF(block)) {
        for (size_t i = 0; i < COUNT_OF(block); i++) block[i] = at + i;
        for (size_t done = 0; done < sizeof block;) {
            ssize_t n = write(fd, (char *)block + done, sizeof block - done);
            if (n <= 0) return NULL;
            done += (size_t)n;
        }
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}

static uint64_t pull_bulk(int fd) {
    static uint64_t block[16384];
    uint64_t next = 0;
    size_t have = 0;
    for (ssize_t n; (n = read(fd, (char *)block + have, sizeof block - have)) > 0;) {
        have += (size_t)n;
        size_t whole = have / 8;
        for (size_t i = 0; i < whole; i++)
            if (block[i] != next + i) ck_abort_msg("wrong byte near %zu", (size_t)(next + i) * 8);
        next += whole;
        memmove(block, block + whole, have - whole * 8);
        have -= whole * 8;
    }
    return next * 8 + have;
}

static void *pull_run(void *arg) {
    int listener = (int)(intptr_t)arg, fd = accept(listener, NULL, NULL);
    uint64_t n = pull_bulk(fd);
    close(fd);
    return (void *)(uintptr_t)n;
}

static int64_t bulk_through(const char *to, int listener) {
    pthread_t push, pull;
    int64_t start = clock_monotonic_us();
    int fd = dial(to);
    pthread_create(&pull, NULL, pull_run, (void *)(intptr_t)listener);
    pthread_create(&push, NULL, push_bulk, (void *)(intptr_t)fd);
    void *got;
    pthread_join(push, NULL);
    pthread_join(pull, &got);
    int64_t us = clock_monotonic_us() - start;
    ck_assert_uint_eq((uintptr_t)got, BULK);
    close(fd);
    return us;
}

START_TEST(throughput_and_latency) {
    int listener = bind_local("t-mig");
    struct echo l = echo_start("t-libvirt");
    struct tunnel *t = source();
    int64_t direct = bulk_through("t-mig", listener), us = bulk_through("mig", listener);
    printf("bulk: %.0f MB/s through the tunnel, %.0f MB/s UNIX socket alone\n",
           (double)BULK / (double)us, (double)BULK / (double)direct);
    const char *const names[] = { "t-libvirt", "libvirt" };
    for (int i = 0; i < 2; i++) {
        int fd = dial(names[i]);
        say(fd, "w");
        hear(fd, "w");
        int64_t start = clock_monotonic_us();
        for (int n = 0; n < 500; n++) {
            say(fd, "ping");
            hear(fd, "ping");
        }
        printf("round trip %s: %.0f us\n", i ? "through the tunnel" : "direct",
               (double)(clock_monotonic_us() - start) / 500);
        close(fd);
    }
    close(listener);
    OK(tunnel_close(t, 3000, &err));
    tunnel_free(t);
    echo_stop(&l);
}
END_TEST

START_TEST(idle_costs_nothing) {
    struct echo e = echo_start("t-mig");
    struct tunnel *t = source();
    int fd = dial("mig");
    say(fd, "x");
    hear(fd, "x");
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    usleep(500000);
    getrusage(RUSAGE_SELF, &after);
    int64_t us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                 after.ru_utime.tv_usec - before.ru_utime.tv_usec +
                 (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
                 after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    ck_assert_int_lt(us, 50000);
    close(fd);
    tunnel_free(t);
    echo_stop(&e);
}
END_TEST

START_TEST(messages) {
    struct tunnel *t = source();
    char *batch AUTO_FREE = xcalloc(1, TUNNEL_MESSAGE_MAX + 1);
    OK(tunnel_send_held(t, "tap0", "abc", 3, 1000, &err));
    OK(tunnel_send_held(t, "tap0", batch, TUNNEL_MESSAGE_MAX, 1000, &err));
    OK(tunnel_send_held(t, "tap0", NULL, 0, 1000, &err));
    ck_assert_int_eq(target.messages, 3);
    ck_assert_uint_eq(target.got.length, 3 + TUNNEL_MESSAGE_MAX);
    ck_assert_int_eq(tunnel_send_held(t, "bad", "abc", 3, 1000, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(err.msg, "no such tap: bad"));
    ck_assert_int_eq(tunnel_send_held(t, "t", batch, TUNNEL_MESSAGE_MAX + 1, 1000, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(tunnel_send_message(t, TUNNEL_NBD, "t", "x", 1, 1000, &err), -1);
    /* The source takes none, and says so. */
    ck_assert_int_eq(tunnel_send_held(target.t, "tap0", "abc", 3, 1000, &err), -1);
    OK(tunnel_close(t, 1000, &err));
    ck_assert_int_eq(tunnel_send_held(t, "tap0", "abc", 3, 1000, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    tunnel_free(t);
}
END_TEST

static void refused(const struct tunnel_identity *id, int64_t epoch, const char *peer,
                    enum err_code code) {
    struct tunnel *t = source_as(id, epoch, peer, NULL);
    ck_assert_ptr_null(t);
    ck_assert_msg(err.code == code, "%s: %s", err_name(err.code), err.msg);
    ck_assert_ptr_null(target.t);
}

START_TEST(only_the_expected_peer) {
    refused(&id_a, 6, NODE_B, ERR_STALE_EPOCH);
    ck_assert_ptr_nonnull(strstr(err.msg, "epoch 6 is over"));
    refused(&id_b, 7, NODE_B, ERR_NOT_FOUND);         /* a node, but not the source */
    refused(&id_a, 7, NODE_A, ERR_FORBIDDEN);         /* the target is not who it should be */
    refused(&id_foreign, 7, NODE_B, ERR_UNAUTHENTICATED); /* certificate of another authority */
    struct tunnel_identity unsure = id_a;
    unsure.ca_pem = id_user.cert_pem; /* the source does not trust the target */
    refused(&unsure, 7, NODE_B, ERR_UNAUTHENTICATED);
    struct tunnel *t = source_as(&id_user, 7, NODE_B, NULL); /* not a node at all */
    ck_assert_ptr_null(t);
    unsure = (struct tunnel_identity){ "x", "y", "z" };
    refused(&unsure, 7, NODE_B, ERR_INVALID);
    struct tunnel_hello hello = { MIGRATION, 7, 31 };
    ck_assert_ptr_null(tunnel_connect("example.org", 1, &id_a, NODE_B, &hello, NULL, 10, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_ptr_null(tunnel_connect("127.0.0.1", 1, &id_a, NODE_B, &hello, NULL, 10, &err));
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
}
END_TEST

START_TEST(abort_closes_everything) {
    struct echo e = echo_start("t-mig");
    struct tunnel *t = source();
    int fd = dial("mig");
    say(fd, "x");
    hear(fd, "x");
    ck_assert_int_eq(tunnel_close(t, 100, &err), -1); /* a stream is open */
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    hear_end(fd);
    close(fd);
    for (int i = 0; i < 1000 && !target.closed; i++) usleep(1000);
    ck_assert_int_eq(target.closed, 2);
    ck_assert_int_eq(tunnel_serve_socket(t, TUNNEL_NBD, in_dir("nbd"), 0600, &err), -1);
    tunnel_free(t);
    echo_stop(&e);
}
END_TEST

START_TEST(listener_survives_strangers) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(tunnel_listener_port(target.l)) };
    int mute[20];
    for (size_t i = 0; i < COUNT_OF(mute); i++) {
        mute[i] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(mute[i], (struct sockaddr *)&a, sizeof a), 0);
        if (i % 2) say(mute[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (size_t i = 5; i < COUNT_OF(mute); i++) close(mute[i]);
    struct tunnel *t = source();
    tunnel_free(t);
    for (size_t i = 0; i < 5; i++) close(mute[i]);
}
END_TEST

/* A peer that stops, without a word from its kernel: its process is frozen. */
START_TEST(silent_peer) {
    tunnel_listener_free(target.l);
    int ports[2];
    ck_assert_int_eq(pipe(ports), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        target.l = tunnel_listener_new("127.0.0.1", 0, &id_b, accept_tunnel, NULL, &err);
        uint16_t port = tunnel_listener_port(target.l);
        (void)!write(ports[1], &port, sizeof port);
        for (;;) pause();
    }
    uint16_t port = 0;
    ck_assert_int_eq(read(ports[0], &port, sizeof port), (ssize_t)sizeof port);
    struct tunnel_hello hello = { MIGRATION, 7, 31 };
    struct target here = { 0 };
    struct tunnel_events e = { &here, NULL, on_closed };
    struct tunnel *t = tunnel_connect("127.0.0.1", port, &id_a, NODE_B, &hello, &e, 3000, &err);
    ck_assert_msg(t != NULL, "%s", err.msg);
    usleep(1500000); /* alive for a while, kept so by PINGs */
    ck_assert_int_eq(here.closed, 0);
    kill(child, SIGSTOP);
    int64_t start = clock_monotonic_ms();
    while (!here.closed && clock_monotonic_ms() - start < 9000) usleep(10000);
    int64_t took_ms = clock_monotonic_ms() - start;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert_int_eq(here.closed, 2);
    ck_assert_int_eq(here.why.code, ERR_TIMEOUT);
    ck_assert_int_lt(took_ms, 6000);
    printf("a frozen peer was noticed after %d ms\n", (int)took_ms);
    tunnel_free(t);
    close(ports[0]);
    close(ports[1]);
    target.l = NULL;
}
END_TEST

/* --- the decoder --- */

static int count_frame(void *ctx, const struct wire_frame *f, const uint8_t *payload,
                       struct err *e) {
    (void)e;
    uint64_t *sum = ctx;
    sum[0]++;
    for (uint32_t i = 0; i < f->length; i++) sum[1] += payload[i] * (i + 1u);
    return 0;
}
static int count_data(void *ctx, uint32_t stream, const uint8_t *bytes, size_t length,
                      struct err *e) {
    (void)e;
    uint64_t *sum = ctx;
    sum[2] += length;
    for (size_t i = 0; i < length; i++) sum[3] += bytes[i] * stream;
    return 0;
}

START_TEST(decoder_takes_any_cut) {
    struct buf b AUTO_BUF = BUF_INIT;
    char payload[3000];
    for (size_t i = 0; i < sizeof payload; i++) payload[i] = (char)i;
    for (uint32_t i = 1; i < 20; i++) {
        wire_add(&b, WIRE_OPEN, 1, i, NULL, 0);
        wire_add(&b, WIRE_DATA, 0, i, payload, i * 100);
        wire_add(&b, WIRE_RESET, 0, i, payload, i);
        wire_add(&b, WIRE_MESSAGE, 3, i, payload, i * 150);
    }
    uint64_t whole[4] = { 0 };
    struct wire_decoder d = { .ctx = whole, .on_frame = count_frame, .on_data = count_data };
    OK(wire_feed(&d, (uint8_t *)b.data, b.length, &err));
    wire_decoder_done(&d);
    ck_assert_uint_eq(whole[0], 57);
    for (size_t piece = 1; piece < 400; piece = piece * 3 + 1) {
        uint64_t cut[4] = { 0 };
        struct wire_decoder p = { .ctx = cut, .on_frame = count_frame, .on_data = count_data };
        for (size_t at = 0; at < b.length; at += piece)
            OK(wire_feed(&p, (uint8_t *)b.data + at, b.length - at < piece ? b.length - at : piece,
                         &err));
        ck_assert_mem_eq(cut, whole, sizeof whole);
        wire_decoder_done(&p);
    }
}
END_TEST

START_TEST(decoder_refuses) {
    static const struct wire_frame bad[] = {
        { 0, 0, 1, 0 }, { WIRE_TYPES_, 0, 1, 0 }, { WIRE_DATA, 0, 1, 0 },
        { WIRE_DATA, 0, 1, WIRE_DATA_MAX + 1 }, { WIRE_WINDOW, 0, 1, 3 }, { WIRE_OPEN, 0, 1, 1 },
        { WIRE_MESSAGE, 3, 1, UINT32_MAX }, { WIRE_RESET, 0, 1, WIRE_REASON_MAX + 1 },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint8_t h[WIRE_HEADER_BYTES];
        uint64_t sum[4];
        struct wire_decoder d = { .ctx = sum, .on_frame = count_frame, .on_data = count_data };
        wire_put_header(h, &bad[i]);
        ck_assert_int_eq(wire_feed(&d, h, sizeof h, &err), -1);
        ck_assert_int_eq(err.code, ERR_INVALID);
        wire_decoder_done(&d);
    }
    struct wire_hello h = { { MIGRATION, 9, 5 }, 1 << 20 }, got;
    struct buf b AUTO_BUF = BUF_INIT;
    wire_add_hello(&b, &h);
    uint32_t length;
    OK(wire_read_preface(b.data, &length, &err));
    ck_assert_uint_eq(length + WIRE_PREFACE_BYTES, b.length);
    OK(wire_read_hello(b.data + WIRE_PREFACE_BYTES, length, &got, &err));
    ck_assert(got.hello.epoch == 9 && got.hello.kinds == 5 && got.window_bytes == 1 << 20);
    static const char *const hellos[] = {
        "{}", "[]", "{\"migration\":\"x\",\"epoch\":1,\"kinds\":[\"nbd\"],\"window_bytes\":65536}",
        "{\"migration\":\"" MIGRATION "\",\"epoch\":1,\"kinds\":[],\"window_bytes\":65536}",
        "{\"migration\":\"" MIGRATION "\",\"epoch\":1,\"kinds\":[\"nbd\"],\"window_bytes\":1}",
        "{\"migration\":\"" MIGRATION "\",\"epoch\":-1,\"kinds\":[\"nbd\"],\"window_bytes\":65536}",
        "{\"migration\":\"" MIGRATION "\",\"epoch\":1,\"kinds\":\"nbd\",\"window_bytes\":65536}",
    };
    for (size_t i = 0; i < COUNT_OF(hellos); i++)
        ck_assert_int_eq(wire_read_hello(hellos[i], strlen(hellos[i]), &got, &err), -1);
    b.data[5] = 2;
    ck_assert_int_eq(wire_read_preface(b.data, &length, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    b.data[0] = 'X';
    ck_assert_int_eq(wire_read_preface(b.data, &length, &err), -1);
}
END_TEST

int main(void) {
    Suite *s = suite_create("tunnel");
    TCase *t = tcase_create("tunnel"), *w = tcase_create("wire");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 15);
    tcase_add_test(t, streams_both_ways);
    tcase_add_test(t, late_target);
    tcase_add_test(t, absent_target);
    tcase_add_test(t, reset_by_target);
    tcase_add_test(t, no_head_of_line_blocking);
    tcase_add_test(t, throughput_and_latency);
    tcase_add_test(t, idle_costs_nothing);
    tcase_add_test(t, messages);
    tcase_add_test(t, only_the_expected_peer);
    tcase_add_test(t, abort_closes_everything);
    tcase_add_test(t, listener_survives_strangers);
    tcase_add_test(t, silent_peer);
    tcase_add_test(w, decoder_takes_any_cut);
    tcase_add_test(w, decoder_refuses);
    suite_add_tcase(s, t);
    suite_add_tcase(s, w);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
