#include "nodemgr/leftover_files.h"

#include "nodemgr/migration_db.h"
#include "nodemgr/netdev.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

void leftover_names_done(char ***names) { netdev_names_free(*names); }

int64_t leftover_file_epoch(const char *name) {
    int64_t found = 0;
    for (const char *at = name; (at = strstr(at, "-e")); at += 2) {
        long long epoch;
        int end = 0;
        if (at[2] < '1' || at[2] > '9' || sscanf(at + 2, "%lld%n", &epoch, &end) != 1) continue;
        if (at[2 + end] == '\0' || at[2 + end] == '.') found = epoch;
    }
    return found;
}

int leftover_each(const char *directory, int (*fn)(void *ctx, const char *name, struct err *err),
                  void *ctx, struct err *err) {
    DIR *d = opendir(directory);
    if (!d && errno == ENOENT) return 0;
    if (!d) return err_set_errno(err, ERR_UNAVAILABLE, errno, "read %s", directory);
    int failed = 0;
    for (struct dirent *e; !failed && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            failed = fn(ctx, e->d_name, err);
    closedir(d);
    return failed;
}

static int remove_path(const char *path, struct err *err) {
    if (unlink(path) == 0 || errno == ENOENT) return 0;
    return err_set_errno(err, errno == EISDIR ? ERR_CONFLICT : ERR_UNAVAILABLE, errno, "remove %s",
                         path);
}

static bool is_plain(const char *name) {
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int leftover_file(struct agent *a, const struct leftover *w, struct err *err) {
    char *directory AUTO_FREE = xasprintf("slivers/%s/", w->sliver);
    char *console AUTO_FREE = xasprintf("console/%s-e%lld.sock", w->sliver, (long long)w->epoch);
    if (strcmp(w->name, console) == 0) {
        char *path AUTO_FREE = xasprintf("%s/%s", a->config->run_dir, console);
        return remove_path(path, err);
    }
    const char *name = w->name + strlen(directory);
    if (strncmp(w->name, directory, strlen(directory)) != 0 || !is_plain(name) ||
        leftover_file_epoch(name) != w->epoch)
        return err_set(err, ERR_FORBIDDEN, "%s is no file of sliver %s at epoch %lld", w->name,
                       w->sliver, (long long)w->epoch);
    char *path AUTO_FREE = xasprintf("%s/%s", a->config->base.state_dir, w->name);
    if (remove_path(path, err)) return -1;
    char *home AUTO_FREE = xasprintf("%s/%s", a->config->base.state_dir, directory);
    rmdir(home); /* stays while another incarnation has files there */
    return 0;
}

/* --- directories of migrations --- */

struct known {
    const char *id;
    bool found;
};

static void find_id(void *ctx, const char *id, const char *phase, const json *document) {
    struct known *k = ctx;
    (void)phase;
    (void)document;
    k->found |= strcmp(id, k->id) == 0;
}

static int remove_entry(void *ctx, const char *name, struct err *err) {
    char *path AUTO_FREE = xasprintf("%s/%s", (const char *)ctx, name);
    return remove_path(path, err);
}

int leftover_directory(struct agent *a, const struct leftover *w, struct err *err) {
    struct known k = { .id = w->name + strlen("migrate/") };
    if (strncmp(w->name, "migrate/", 8) != 0 || !uuid_valid(k.id))
        return err_set(err, ERR_INVALID, "%s is no directory of a migration", w->name);
    if (migration_db_each(a->db, find_id, &k, err)) return -1;
    if (k.found) return err_set(err, ERR_CONFLICT, "migration %s is under way here", k.id);
    char *path AUTO_FREE = xasprintf("%s/%s", a->config->run_dir, w->name);
    if (leftover_each(path, remove_entry, path, err)) return -1;
    if (rmdir(path) == 0 || errno == ENOENT) return 0;
    return err_set_errno(err, ERR_UNAVAILABLE, errno, "remove %s", path);
}

/* --- all of a sliver's --- */

struct sweep {
    const char *directory, *prefix;
    int64_t epoch;
};

static int sweep_entry(void *ctx, const char *name, struct err *err) {
    const struct sweep *s = ctx;
    int64_t epoch = leftover_file_epoch(name);
    if (epoch == 0 || epoch > s->epoch || strncmp(name, s->prefix, strlen(s->prefix)) != 0) return 0;
    char *path AUTO_FREE = xasprintf("%s/%s", s->directory, name);
    return remove_path(path, err);
}

int leftover_sweep_files(struct agent *a, const char *sliver, int64_t epoch, struct err *err) {
    char *home AUTO_FREE = xasprintf("%s/slivers/%s", a->config->base.state_dir, sliver);
    char *consoles AUTO_FREE = xasprintf("%s/console", a->config->run_dir);
    struct sweep files = { home, "", epoch }, sockets = { consoles, sliver, epoch };
    if (leftover_each(home, sweep_entry, &files, err) ||
        leftover_each(consoles, sweep_entry, &sockets, err))
        return -1;
    rmdir(home);
    return 0;
}
