#include "ticker.h"

#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "forwarding.h"
#include "migration/debt.h"
#include "node.h"
#include "reservation.h"

#include <errno.h>
#include <time.h>

LOG_MODULE("am.ticker");

#define TICK_S 1
#define REGISTER_TICKS 60
#define REGISTER_MS 5000

struct ticker {
    struct aggregate *am;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
};

/* Users find us through the clearing house's registry; it may be down without harm to us. */
static void announce(struct aggregate *am) {
    const struct aggregate_config *config = am->config;
    if (!config->clearinghouse_url[0]) return;
    char *url AUTO_FREE = xasprintf("%s/v1/services/self", config->clearinghouse_url);
    char *own AUTO_FREE = xasprintf("https://%s:%lld", config->base.advertise_host,
                                    (long long)config->base.listen_port);
    json *body AUTO_JSON = json_set_str(json_object(), "url", own);
    struct err err = ERR_INIT;
    json *answer AUTO_JSON = http_json(am->client, "PUT", url, body, REGISTER_MS, &err);
    if (!answer) log_debug("not registered", "clearinghouse=%s error=%s", url, err.msg);
}

static void *run(void *arg) {
    struct ticker *t = arg;
    for (unsigned tick = 0; !t->am->stopping; tick++) {
        if (tick % REGISTER_TICKS == 0 || (tick < 10 && tick % 3 == 0)) announce(t->am);
        node_watch_tick(t->am);
        reservation_tick(t->am);
        debt_tick(t->am);
        forwarding_tick(t->am);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_S;
        WITH_LOCK(&t->lock);
        while (!t->stopping)
            if (pthread_cond_timedwait(&t->changed, &t->lock, &until) == ETIMEDOUT) break;
    }
    return NULL;
}

struct ticker *ticker_start(struct aggregate *am, struct err *err) {
    struct ticker *t = xcalloc(1, sizeof *t);
    t->am = am;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&t->thread, NULL, run, t);
    if (rc == 0) return t;
    err_set_errno(err, ERR_INTERNAL, rc, "cannot start the ticker");
    free(t);
    return NULL;
}

void ticker_stop(struct ticker *t) {
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
