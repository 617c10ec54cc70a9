/*
 * A load of HTTPS requests on kept-alive connections: one thread, epoll, OpenSSL.
 *
 *   load --port N --ca FILE --cert FILE --key FILE --callers FILE --connections N --seconds S
 *        (--get PATH | --pairs)
 *
 * Each line of the callers' file is "slice<TAB>credential"; connection i acts for line i modulo
 * their number. --get asks for PATH, in which "{slice}" stands for the caller's. --pairs allocates
 * one small sliver and releases the hold, over and over; every answer is waited for.
 * A quarter of a second is run before the time counts. Prints one JSON object: requests (pairs)
 * per second, latencies of single requests, and what this program itself cost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CALLERS_MAX 256
#define ANSWER_MAX (1 << 20) /* bytes */
#define WARM_US 250000

struct caller {
    char slice[256];
    char *credential;
};
struct conn {
    SSL *ssl;
    int fd, number;
    const struct caller *caller;
    char *request, location[256];
    size_t request_length;
    bool releasing; /* of a pair: the second request is under way */
    char *answer;
    size_t have;
    int64_t asked_us;
};

static struct options {
    int port, connections;
    double seconds;
    const char *ca, *cert, *key, *callers, *get;
    bool pairs;
} opt;
static struct caller callers[CALLERS_MAX];
static size_t caller_count;
static uint32_t *latencies;
static size_t latency_count, latency_room;
static uint64_t done, errors;
static int64_t measure_from_us, until_us;
static int busy; /* connections that still wait for an answer */

__attribute__((format(printf, 1, 2), noreturn))
static void fail(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void *must(void *p) {
    if (!p) fail("out of memory");
    return p;
}

/* --- what is asked --- */

static char *text_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) fail("out of memory");
    va_end(ap);
    return text;
}

static void make_request(struct conn *c, const char *method, const char *path, const char *body) {
    free(c->request);
    c->request = text_of("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nJogak-Credential: %s\r\n"
                         "Content-Length: %zu\r\nContent-Type: application/json\r\n\r\n%s",
                         method, path, c->caller->credential, strlen(body), body);
    c->request_length = strlen(c->request);
}

static void make_get(struct conn *c) {
    const char *mark = strstr(opt.get, "{slice}");
    char *path = mark ? text_of("%.*s%s%s", (int)(mark - opt.get), opt.get, c->caller->slice,
                                mark + strlen("{slice}"))
                      : text_of("%s", opt.get);
    free(c->request);
    c->request = text_of("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nJogak-Credential: %s\r\n\r\n", path,
                         c->caller->credential);
    c->request_length = strlen(c->request);
    free(path);
}

static void next_request(struct conn *c) {
    if (opt.get) {
        if (!c->request) make_get(c);
        return;
    }
    if (c->location[0]) {
        make_request(c, "DELETE", c->location, "");
        c->location[0] = '\0';
        c->releasing = true;
        return;
    }
    char body[512];
    snprintf(body, sizeof body,
             "{\"slice\":\"%s\",\"topology\":{\"slivers\":[{\"name\":\"c%d\",\"image\":\"tiny\","
             "\"memory_mib\":64,\"vnics\":[{\"link\":\"lan\"}]}],\"links\":[{\"name\":\"lan\"}]}}",
             c->caller->slice, c->number);
    make_request(c, "POST", "/v1/reservations", body);
    c->releasing = false;
}

static void ask(struct conn *c) {
    next_request(c);
    c->have = 0;
    c->asked_us = now_us();
    if (SSL_write(c->ssl, c->request, (int)c->request_length) != (int)c->request_length)
        fail("connection %d: the request was not taken", c->number);
}

/* --- what comes back --- */

static void note(const struct conn *c, int status) {
    int64_t now = now_us();
    int good = opt.get ? 200 : c->releasing ? 204 : 201;
    if (status != good && errors++ == 0)
        fprintf(stderr, "status %d, not %d: %.600s\n", status, good, c->answer);
    if (now < measure_from_us || now > until_us) return;
    if (opt.get || c->releasing) done++;
    if (latency_count == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 16;
        latencies = must(realloc(latencies, latency_room * sizeof *latencies));
    }
    latencies[latency_count++] = (uint32_t)(now - c->asked_us);
}

static size_t header_number(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/* Is the whole answer there? Then its status, else 0. */
static int whole(struct conn *c) {
    c->answer[c->have] = '\0';
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    size_t head = (size_t)(end - c->answer) + 4;
    if (c->have < head + header_number(c->answer, "\r\nContent-Length:")) return 0;
    const char *location = strcasestr(c->answer, "\r\nLocation: ");
    if (location && location < end)
        snprintf(c->location, sizeof c->location, "%.*s", (int)strcspn(location + 12, "\r"), location + 12);
    return atoi(c->answer + strlen("HTTP/1.1 "));
}

static void take(struct conn *c) {
    for (;;) {
        int n = SSL_read(c->ssl, c->answer + c->have, (int)(ANSWER_MAX - c->have));
        if (n > 0) {
            c->have += (size_t)n;
            int status = whole(c);
            if (!status) continue;
            note(c, status);
            bool leave = now_us() > until_us && (opt.get || c->releasing);
            if (leave) busy--; /* its pair is complete: nothing stays held */
            else ask(c);
            continue;
        }
        if (SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ) return;
        fail("connection %d: ended by the server after \"%.200s\"", c->number, c->answer);
    }
}

/* --- connections --- */

static void open_conn(struct conn *c, SSL_CTX *ctx, int number) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;
    c->number = number;
    c->caller = &callers[(size_t)number % caller_count];
    c->answer = must(malloc(ANSWER_MAX + 1));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a)) fail("connect: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->ssl = must(SSL_new(ctx));
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_connect(c->ssl) != 1) fail("TLS handshake");
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static SSL_CTX *make_context(void) {
    SSL_CTX *ctx = must(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_locations(ctx, opt.ca, NULL) != 1 ||
        SSL_CTX_use_certificate_file(ctx, opt.cert, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, opt.key, SSL_FILETYPE_PEM) != 1)
        fail("key, certificate or authority");
    return ctx;
}

static void read_callers(void) {
    FILE *f = fopen(opt.callers, "re");
    char *line = NULL;
    size_t size = 0;
    if (!f) fail("%s: %s", opt.callers, strerror(errno));
    for (ssize_t n; (n = getline(&line, &size, f)) > 0 && caller_count < CALLERS_MAX;) {
        char *tab = strchr(line, '\t');
        if (!tab) fail("%s: no tab in a line", opt.callers);
        line[n - (line[n - 1] == '\n')] = '\0';
        struct caller *c = &callers[caller_count++];
        snprintf(c->slice, sizeof c->slice, "%.*s", (int)(tab - line), line);
        c->credential = must(strdup(tab + 1));
    }
    free(line);
    fclose(f);
    if (!caller_count) fail("%s: nobody", opt.callers);
}

static void read_options(int argc, char **argv) {
    static const struct option known[] = {
        { "port", 1, NULL, 'p' },    { "ca", 1, NULL, 'a' },          { "cert", 1, NULL, 'c' },
        { "key", 1, NULL, 'k' },     { "callers", 1, NULL, 'u' },     { "connections", 1, NULL, 'n' },
        { "seconds", 1, NULL, 's' }, { "get", 1, NULL, 'g' },         { "pairs", 0, NULL, 'w' },
        { NULL, 0, NULL, 0 },
    };
    for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (o) {
        case 'p': opt.port = atoi(optarg); break;
        case 'a': opt.ca = optarg; break;
        case 'c': opt.cert = optarg; break;
        case 'k': opt.key = optarg; break;
        case 'u': opt.callers = optarg; break;
        case 'n': opt.connections = atoi(optarg); break;
        case 's': opt.seconds = atof(optarg); break;
        case 'g': opt.get = optarg; break;
        case 'w': opt.pairs = true; break;
        default: exit(2);
        }
    }
    if (!opt.port || !opt.ca || !opt.cert || !opt.key || !opt.callers || opt.connections < 1 ||
        opt.seconds <= 0 || !opt.get == !opt.pairs)
        fail("usage: see the top of bench/load.c");
}

static int64_t own_cpu_us(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(int64_t took_us, int64_t cpu_us) {
    if (!latency_count) fail("nothing was answered");
    qsort(latencies, latency_count, sizeof *latencies, compare);
    printf("{\"done\":%llu,\"requests\":%zu,\"errors\":%llu,\"per_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,"
           "\"load_cpu_share\":%.3f,\"load_cpu_us_per_request\":%.1f}\n",
           (unsigned long long)done, latency_count, (unsigned long long)errors,
           (double)done * 1e6 / (double)took_us, latencies[latency_count / 2],
           latencies[latency_count * 99 / 100], (double)cpu_us / (double)took_us,
           (double)cpu_us / (double)latency_count);
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    read_callers();
    SSL_CTX *ctx = make_context();
    struct conn *conns = must(calloc((size_t)opt.connections, sizeof *conns));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < opt.connections; i++) {
        open_conn(&conns[i], ctx, i);
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = &conns[i] };
        epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &e);
    }
    measure_from_us = now_us() + WARM_US;
    until_us = measure_from_us + (int64_t)(opt.seconds * 1e6);
    int64_t cpu_us = -1, cpu_end_us = -1;
    busy = opt.connections;
    for (int i = 0; i < opt.connections; i++) ask(&conns[i]);
    while (busy) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < n; i++) take(events[i].data.ptr);
        if (cpu_us < 0 && now_us() >= measure_from_us) cpu_us = own_cpu_us();
        if (cpu_end_us < 0 && now_us() >= until_us) cpu_end_us = own_cpu_us();
    }
    report(until_us - measure_from_us, cpu_end_us - cpu_us);
    return errors != 0;
}
