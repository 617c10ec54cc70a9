/*
 * The sliver store as one value: what every handler gets as its context.
 *
 * Metadata is in SQLite, chunks are files (chunk_files.h). The rule that keeps the two together:
 * file first, row second; row away first, file second; and both under the stripe's lock, a mutex
 * for each first byte of a digest. So at any SIGKILL a file may be left without its row (the
 * collection removes it), never a row without its file.
 *
 * Threads: handlers run on the server's pool; one thread collects (collect.h).
 */
#ifndef JOGAK_SLIVERSTORE_STORE_H
#define JOGAK_SLIVERSTORE_STORE_H

#include "common/db.h"
#include "common/http.h"
#include "common/service.h"

#include <pthread.h>

#define STORE_STRIPES 256

struct store_config {
    struct service_config base;
    char *authority;             /* "example.org"; "": that of our certificate */
    int64_t quota_mib;           /* of each owner; stored bytes */
    int64_t virtual_size_max_mib;
    int64_t reserve_mib;         /* disk space that uploads leave free */
    int64_t grace_s;             /* an unreferenced chunk lives this long */
    int64_t collect_interval_s;
};
extern const struct config_row store_config_rows[];
extern const size_t store_config_row_count;

struct store {
    const struct store_config *config;
    const struct identity *identity;
    char authority[128];
    struct db *db;
    char *chunk_dir, *tmp_dir;
    pthread_mutex_t stripes[STORE_STRIPES];
    struct collector *collector;
};

/* Opens (makes) database and directories below the state directory and removes what a crash left
 * half-made. Borrows config and identity until store_close(). Blocks on the disk. */
struct store *store_open(const struct store_config *config, const struct identity *identity,
                         struct err *err);
void store_close(struct store *s); /* NULL is fine */

#endif
