#include "store.h"

#include "chunk_files.h"
#include "collect.h"
#include "common/ids.h"
#include "common/mem.h"

#include <stdio.h>

#define ROW(key_, type_, member_, min_, max_, default_, unit_, help_) \
    { "store", key_, type_, offsetof(struct store_config, member_), min_, max_, default_, unit_, \
      help_ }
const struct config_row store_config_rows[] = {
    SERVICE_CONFIG_ROWS(struct store_config, "sliverstore", "8403"),
    ROW("authority", CONFIG_STRING, authority, 0, 0, "", NULL,
        "Authority whose users and services are served; empty: that of this service's certificate."),
    ROW("quota_mib", CONFIG_INT, quota_mib, 1, 1 << 30, "102400", "MiB",
        "How much one owner may store, compressed."),
    ROW("virtual_size_max_mib", CONFIG_INT, virtual_size_max_mib, 1, 1 << 24, "2097152", "MiB",
        "The largest disk that an image may describe."),
    ROW("reserve_mib", CONFIG_INT, reserve_mib, 0, 1 << 30, "512", "MiB",
        "Uploads are refused when less disk space than this would stay free."),
    ROW("grace_s", CONFIG_INT, grace_s, 0, 31536000, "86400", "s",
        "How long chunks that no image needs are kept, so that an upload can be resumed."),
    ROW("collect_interval_s", CONFIG_INT, collect_interval_s, 1, 31536000, "3600", "s",
        "How often chunks that no image needs are looked for and removed."),
};
const size_t store_config_row_count = COUNT_OF(store_config_rows);

extern const struct db_migration sliverstore_migrations[];
extern const size_t sliverstore_migration_count;

static int find_authority(struct store *s, struct err *err) {
    struct urn urn;
    if (s->config->authority && s->config->authority[0]) {
        snprintf(s->authority, sizeof s->authority, "%s", s->config->authority);
        return 0;
    }
    if (urn_parse(s->identity->urn, &urn, err)) return err_wrap(err, "our certificate");
    snprintf(s->authority, sizeof s->authority, "%s", urn.authority);
    return 0;
}

static int open_all(struct store *s, struct err *err) {
    const char *dir = s->config->base.state_dir;
    if (find_authority(s, err)) return -1;
    s->chunk_dir = xasprintf("%s/chunks", dir);
    s->tmp_dir = xasprintf("%s/tmp", dir);
    if (chunk_files_open(s, err)) return -1;
    AUTO_FREE char *path = xasprintf("%s/store.db", dir);
    s->db = db_open(path, sliverstore_migrations, sliverstore_migration_count, true, err);
    if (!s->db) return -1;
    s->collector = collect_start(s);
    return 0;
}

struct store *store_open(const struct store_config *config, const struct identity *identity,
                         struct err *err) {
    struct store *s = xcalloc(1, sizeof *s);
    s->config = config;
    s->identity = identity;
    for (size_t i = 0; i < STORE_STRIPES; i++) pthread_mutex_init(&s->stripes[i], NULL);
    if (open_all(s, err) == 0) return s;
    err_wrap(err, "open the store in %s", config->base.state_dir);
    store_close(s);
    return NULL;
}

void store_close(struct store *s) {
    if (!s) return;
    collect_stop(s->collector);
    if (s->db) db_close(s->db);
    for (size_t i = 0; i < STORE_STRIPES; i++) pthread_mutex_destroy(&s->stripes[i]);
    free(s->chunk_dir);
    free(s->tmp_dir);
    free(s);
}
