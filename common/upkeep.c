#include "upkeep.h"

#include "http_client.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

LOG_MODULE("upkeep");

#define FIRST_S 2 /* between tries, until the first registration has succeeded */
#define EVERY_S 60
#define RENEW_EVERY_S 86400
#define CALL_MS 5000

struct upkeep {
    const struct service_config *config;
    const struct identity *identity;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool registered; /* in the clearing house's registry */
    bool stopping;
};

static int announce(const struct upkeep *u, struct http_client *client) {
    char *url AUTO_FREE = xasprintf("%s/v1/services/self", u->identity->clearinghouse_url);
    char *own AUTO_FREE = xasprintf("https://%s:%lld", u->config->advertise_host,
                                    (long long)u->config->listen_port);
    json *body AUTO_JSON = json_set_str(json_object(), "url", own);
    struct err err = ERR_INIT;
    json *answer AUTO_JSON = http_json(client, "PUT", url, body, CALL_MS, &err);
    if (!answer) log_debug("not registered", "url=%s error=\"%s\"", url, err.msg);
    return answer ? 0 : -1;
}

static void renew(struct upkeep *u) {
    struct err err = ERR_INIT;
    /* A copy: others read the one in use until the end. */
    struct identity own = *u->identity;
    own.key_pem = xstrdup(own.key_pem);
    own.cert_pem = xstrdup(own.cert_pem);
    own.ca_pem = xstrdup(own.ca_pem);
    int rc = identity_renew(u->config, &own, &err);
    identity_done(&own);
    if (rc < 0) log_warn("certificate not renewed", "error=\"%s\"", err.msg);
    if (rc <= 0) return;
    log_info("certificate renewed", "urn=%s next=\"ending, to be started with it\"", u->identity->urn);
    kill(getpid(), SIGTERM);
}

/* Sleeps; true when it is time to end. */
static bool pause_s(struct upkeep *u, int64_t seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    WITH_LOCK(&u->lock);
    while (!u->stopping)
        if (pthread_cond_timedwait(&u->changed, &u->lock, &until) == ETIMEDOUT) break;
    return u->stopping;
}

static void *run(void *arg) {
    struct upkeep *u = arg;
    struct err err = ERR_INIT;
    struct http_client *client = http_client_new(
        &(struct http_client_options){ .key_pem = u->identity->key_pem,
                                       .cert_pem = u->identity->cert_pem,
                                       .ca_pem = u->identity->ca_pem },
        &err);
    if (!client) log_error("no upkeep", "error=\"%s\"", err.msg);
    bool known = false;
    int64_t until_renewal_s = RENEW_EVERY_S;
    while (client) {
        if (!u->registered || announce(u, client) == 0) known = true;
        int64_t wait_s = known ? EVERY_S : FIRST_S;
        if (pause_s(u, wait_s)) break;
        if ((until_renewal_s -= wait_s) > 0) continue;
        renew(u);
        until_renewal_s = RENEW_EVERY_S;
    }
    http_client_free(client);
    return NULL;
}

struct upkeep *upkeep_start(const struct service_config *config, const struct identity *identity,
                            bool registered, struct err *err) {
    struct upkeep *u = xcalloc(1, sizeof *u);
    u->config = config;
    u->identity = identity;
    u->registered = registered;
    pthread_mutex_init(&u->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&u->changed, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&u->thread, NULL, run, u);
    if (rc == 0) return u;
    err_set_errno(err, ERR_INTERNAL, rc, "cannot start the upkeep");
    free(u);
    return NULL;
}

void upkeep_stop(struct upkeep *u) {
    if (!u) return;
    pthread_mutex_lock(&u->lock);
    u->stopping = true;
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
    pthread_join(u->thread, NULL);
    pthread_cond_destroy(&u->changed);
    pthread_mutex_destroy(&u->lock);
    free(u);
}
