#include "housekeeping.h"

#include "certificate_db.h"
#include "enrollment_db.h"
#include "slice.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <time.h>

LOG_MODULE("ch.housekeeping");

#define HOUR_MS 3600000LL
#define DAY_MS (24 * HOUR_MS)
#define KEEP_CERTIFICATES_MS (400 * DAY_MS) /* after they expired */

static int purge(struct db_conn *c, void *arg, struct err *err) {
    (void)arg;
    int64_t now = clock_wall_ms();
    if (enrollment_db_purge(c, now - DAY_MS, err) != 0) return -1;
    return certificate_db_purge(c, now - KEEP_CERTIFICATES_MS, err);
}

int housekeeping_purge(struct house *h, struct err *err) {
    if (db_write(h->db, purge, NULL, err) != 0) return -1;
    return standing_refresh_revoked(&h->standing, h->db, err);
}

static void hourly(struct housekeeping *k) {
    struct err err = ERR_INIT;
    if (housekeeping_purge(k->house, &err) != 0)
        log_warn("old rows could not be removed", "detail=\"%s\"", err.msg);
    if (k->renew && authority_server_due(&k->house->authority)) k->renew(k->renew_ctx);
}

/* Waits a second; false when it is time to end. */
static bool wait_a_second(struct housekeeping *k) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    WITH_LOCK(&k->lock);
    while (!k->stop && pthread_cond_timedwait(&k->wake, &k->lock, &until) == 0)
        ;
    return !k->stop;
}

static void *run(void *arg) {
    struct housekeeping *k = arg;
    int64_t next_ms = clock_monotonic_ms() + HOUR_MS;
    bool failed = false;
    while (wait_a_second(k)) {
        struct err err = ERR_INIT;
        bool fails = slice_settle(k->house, &err) != 0 ||
                     standing_retry(&k->house->standing, k->house->db, &err) != 0;
        if (fails && !failed) log_error("the database fails", "detail=\"%s\"", err.msg);
        failed = fails;
        if (clock_monotonic_ms() < next_ms) continue;
        next_ms = clock_monotonic_ms() + HOUR_MS;
        hourly(k);
    }
    return NULL;
}

int housekeeping_start(struct housekeeping *k, struct house *h, void (*renew)(void *ctx),
                       void *renew_ctx, struct err *err) {
    *k = (struct housekeeping){ .house = h, .renew = renew, .renew_ctx = renew_ctx };
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&k->thread, NULL, run, k);
    return rc ? err_set_errno(err, ERR_INTERNAL, rc, "start the housekeeping thread") : 0;
}

void housekeeping_stop(struct housekeeping *k) {
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
}
