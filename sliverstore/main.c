/*
 * jogak-sliverstore: options, wiring, end.
 */
#include "routes.h"
#include "store.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/schema.h"
#include "common/upkeep.h"

#include <inttypes.h>
#include <malloc.h>

LOG_MODULE("ss.main");

static int serve(struct service *service, struct store *store, const struct identity *identity,
                 struct err *err) {
    const struct store_config *config = service->config;
    struct route_table routes = routes_of(store);
    if (route_table_check(&routes, err)) return -1;
    struct http_server *server = http_server_start(
        &(struct http_server_options){
            .address = config->base.listen_address,
            .port = (uint16_t)config->base.listen_port,
            .key_pem = identity->key_pem,
            .cert_pem = identity->cert_pem,
            .ca_pem = identity->ca_pem,
            .threads = HTTP_POOL,
        },
        &routes, err);
    if (!server) return -1;
    log_info("serving", "urn=%s address=%s port=%u", identity->urn, config->base.listen_address,
             http_server_port(server));
    struct upkeep *upkeep = upkeep_start(&config->base, identity, true, err);
    service_wait(service);
    upkeep_stop(upkeep);
    http_server_stop(server);
    return 0;
}

static int run(struct service *service, struct err *err) {
    struct store_config *config = service->config;
    struct identity identity = { 0 };
    static const char *const documents[] = { "common", "sliverstore", NULL };
    if (schema_load_only(documents, err) || identity_open(&config->base, "ss", &identity, err))
        return -1;
    struct store *store = store_open(config, &identity, err);
    malloc_trim(0); /* reading the documents left much behind */
    int failed = store ? serve(service, store, &identity, err) : -1;
    store_close(store);
    identity_done(&identity);
    return failed;
}

int main(int argc, char **argv) {
    struct store_config config = { 0 };
    struct service service = { "sliverstore", store_config_rows, store_config_row_count, &config };
    struct err err = ERR_INIT;
    /* Chunks and manifests are large and short-lived: give their memory back at once. */
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_ARENA_MAX, 1);
    int status = service_begin(&service, argc, argv);
    if (status < 0) {
        status = run(&service, &err) ? 1 : 0;
        if (status) log_error(err.msg, "remedy=\"%s\"", err.remedy);
    }
    service_end(&service);
    return status;
}
