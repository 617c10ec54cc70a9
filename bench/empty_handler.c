/*
 * The least that libmicrohttpd can do: each request is answered with "{}", over the same TLS
 * (key, certificate, authority, priorities) and with as many threads as a service has.
 *
 *   empty_handler PORT KEY CERT CA THREADS
 */
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_length, void **context) {
    (void)cls, (void)url, (void)method, (void)version, (void)data;
    if (!*context) { /* the headers are there; answer once the body is, too */
        *context = c;
        return MHD_YES;
    }
    if (*data_length) {
        *data_length = 0;
        return MHD_YES;
    }
    static char body[] = "{}";
    struct MHD_Response *r = MHD_create_response_from_buffer(2, body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r, "Content-Type", "application/json");
    enum MHD_Result rc = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return rc;
}

static char *read_file(const char *path) {
    FILE *f = fopen(path, "re");
    char *text = calloc(1, 65536);
    if (!f || !text || !fread(text, 1, 65535, f)) {
        perror(path);
        exit(1);
    }
    fclose(f);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TLS | MHD_USE_TURBO, 0, NULL, NULL, answer, NULL,
        MHD_OPTION_SOCK_ADDR, &a, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)atoi(argv[5]),
        MHD_OPTION_HTTPS_MEM_KEY, read_file(argv[2]), MHD_OPTION_HTTPS_MEM_CERT, read_file(argv[3]),
        MHD_OPTION_HTTPS_MEM_TRUST, read_file(argv[4]), MHD_OPTION_HTTPS_PRIORITIES,
        "NORMAL:-VERS-ALL:+VERS-TLS1.3", MHD_OPTION_CONNECTION_LIMIT, 512u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)40960, MHD_OPTION_END);
    if (!d) {
        fputs("empty_handler: cannot start\n", stderr);
        return 1;
    }
    int got;
    sigwait(&end, &got);
    MHD_stop_daemon(d);
    return 0;
}
