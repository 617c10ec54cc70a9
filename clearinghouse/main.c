/*
 * jogak-clearinghouse: options, wiring, wait.
 *
 *   jogak-clearinghouse [--config FILE] [...]    serve (see common/service.h for the options)
 *   jogak-clearinghouse --operator-token [...]   write a new one-time token for the user
 *                                                "operator" and end; also while one serves
 */
#include "house.h"
#include "housekeeping.h"
#include "operator_token.h"
#include "routes.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/schema.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

LOG_MODULE("ch.main");

struct front {
    struct house *house;
    struct route_table routes;
    struct http_server *server;
};

static int front_start(struct front *f, struct err *err) {
    const struct house *h = f->house;
    const struct http_server_options options = {
        .address = h->config->base.listen_address,
        .port = (uint16_t)h->config->base.listen_port,
        .key_pem = h->authority.key_pem,
        .cert_pem = h->authority.cert_pem,
        .ca_pem = h->authority.ca_cert_pem,
        .threads = HTTP_POOL,
    };
    f->server = http_server_start(&options, &f->routes, err);
    return f->server ? 0 : -1;
}

/* Our certificate is due: nothing reads it while the server stands. */
static void front_renew(void *ctx) {
    struct front *f = ctx;
    struct err err = ERR_INIT;
    const struct service_config *base = &f->house->config->base;
    http_server_stop(STEAL(f->server));
    if (authority_renew_server(&f->house->authority, base->state_dir, base->advertise_host, &err))
        log_error("own certificate not renewed", "detail=\"%s\"", err.msg);
    if (front_start(f, &err) == 0) return;
    log_error("cannot serve after the renewal", "detail=\"%s\"", err.msg);
    exit(1); /* the supervisor starts us again */
}

static int fail(const struct err *err) {
    fprintf(stderr, "jogak-clearinghouse: %s\n", err->msg);
    if (err->remedy[0]) fprintf(stderr, "  %s\n", err->remedy);
    return 1;
}

static int serve(struct service *service, struct house *h, struct err *err) {
    struct front front = { .house = h, .routes = clearinghouse_routes(h) };
    struct housekeeping keeping;
    if (route_table_check(&front.routes, err) != 0 || front_start(&front, err) != 0) return -1;
    if (housekeeping_start(&keeping, h, front_renew, &front, err) != 0) {
        http_server_stop(front.server);
        return -1;
    }
    log_info("serving", "authority=%s address=%s port=%u", h->authority.name,
             h->config->base.listen_address, http_server_port(front.server));
    service_wait(service);
    housekeeping_stop(&keeping);
    http_server_stop(front.server);
    return 0;
}

/* Files made by another user than the service's own would lock it out. */
static int check_owner(const char *state_dir, struct err *err) {
    struct stat st;
    if (stat(state_dir, &st) != 0) return err_set_errno(err, ERR_INTERNAL, errno, "%s", state_dir);
    if (st.st_uid == geteuid()) return 0;
    err_set(err, ERR_FORBIDDEN, "%s belongs to user id %u", state_dir, st.st_uid);
    return err_remedy(err, "Run this as that user.");
}

static int print_token(struct house *h, struct err *err) {
    AUTO_FREE char *path = operator_token_renew(h, err);
    if (!path) return -1;
    printf("one-time token of the operator: %s\n", path);
    return 0;
}

/* Removes our own option from argv. */
static bool take_option(int *argc, char **argv, const char *option) {
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], option) == 0) {
            memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof *argv);
            --*argc;
            return true;
        }
    return false;
}

int main(int argc, char **argv) {
    struct house_config config = { .authority = NULL };
    struct service service = { .name = "clearinghouse",
                               .rows = house_config_rows,
                               .row_count = house_config_row_count,
                               .config = &config };
    struct house house;
    struct err err = ERR_INIT;
    bool token = take_option(&argc, argv, "--operator-token");
    if (token) service_share_state(); /* one may be serving */
    if (token) service_share_state();
    int status = service_begin(&service, argc, argv);
    if (status >= 0) return status;
    static const char *const documents[] = { "common", "clearinghouse", NULL };
    if (schema_load_only(documents, &err) != 0 || check_owner(config.base.state_dir, &err) != 0 ||
        house_open(&house, &config, &err) != 0)
        return fail(&err);
    malloc_trim(0); /* reading the documents left much behind */
    int rc = token ? print_token(&house, &err) : serve(&service, &house, &err);
    house_close(&house);
    service_end(&service);
    return rc ? fail(&err) : 0;
}
