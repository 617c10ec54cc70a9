#include "house.h"

#include "operator_token.h"
#include "slice.h"
#include "common/mem.h"

extern const struct db_migration clearinghouse_migrations[];
extern const size_t clearinghouse_migration_count;

#define INT(section_, key_, field, min_, max_, otherwise_, unit_, help_) \
    { \
        section_, key_, CONFIG_INT, offsetof(struct house_config, field), min_, max_, otherwise_, \
            unit_, help_ \
    }

const struct config_row house_config_rows[] = {
    SERVICE_CONFIG_ROWS(struct house_config, "clearinghouse", "8401"),
    { "authority", "name", CONFIG_STRING, offsetof(struct house_config, authority), 0, 0, NULL,
      NULL, "The testbed's domain name, as example.org; it can not be changed later." },
    INT("slices", "lifetime_days", slice_days, 1, 3650, "7", "days",
        "Life of a slice whose maker names none."),
    INT("slices", "lifetime_days_max", slice_days_max, 1, 3650, "185", "days",
        "How far ahead a slice's expiry may lie."),
    INT("credentials", "lifetime_hours", credential_hours, 1, 8760, "24", "hours",
        "How long an aggregate honours a credential without asking us."),
    INT("certificates", "user_days", user_days, 1, 3650, "365", "days",
        "Life of users' certificates."),
    INT("certificates", "service_days", service_days, 2, 3650, "90", "days",
        "Life of the certificates of services and nodes."),
    INT("enrollments", "token_hours", token_hours, 1, 720, "24", "hours",
        "Life of a one-time enrolment token."),
};
const size_t house_config_row_count = COUNT_OF(house_config_rows);

static int database_open(struct house *h, struct err *err) {
    AUTO_FREE char *path = xasprintf("%s/clearinghouse.db", h->config->base.state_dir);
    h->db = db_open(path, clearinghouse_migrations, clearinghouse_migration_count, true, err);
    return h->db ? 0 : -1;
}

int house_open(struct house *h, const struct house_config *config, struct err *err) {
    memset(h, 0, sizeof *h);
    h->config = config;
    throttle_init(&h->throttle);
    if (authority_open(&h->authority, config->base.state_dir, config->authority,
                       config->base.advertise_host, config->service_days, err) == 0 &&
        database_open(h, err) == 0 && operator_ensure(h, err) == 0 &&
        standing_open(&h->standing, h->db, err) == 0 && slice_settle(h, err) == 0)
        return 0;
    house_close(h);
    return -1;
}

void house_close(struct house *h) {
    standing_close(&h->standing);
    db_close(h->db);
    h->db = NULL;
    authority_close(&h->authority);
    throttle_done(&h->throttle);
}

char *house_url(const struct house *h) {
    const char *host = h->config->base.advertise_host;
    bool v6 = strchr(host, ':') != NULL;
    return xasprintf("https://%s%s%s:%lld", v6 ? "[" : "", host, v6 ? "]" : "",
                     (long long)h->config->base.listen_port);
}
