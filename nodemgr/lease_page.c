#include "nodemgr/lease_page.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define GUARD_SHARE 6 /* that part of a lease is for pausing before it ends, */
#define GUARD_MIN_MS 300
#define GUARD_MAX_MS 3000
#define MAGIC UINT64_C(0x314547414c474f4a) /* "JOGLAGE1" in memory; another layout gets another one */

static struct lease_page *map(int fd) {
    void *p = mmap(NULL, sizeof(struct lease_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

static struct lease_page *open_page(const char *path, ino_t *ret_inode, struct err *err) {
    int fd AUTO_FD = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, errno, "open %s", path);
        return NULL;
    }
    struct lease_page *p = st.st_size == sizeof *p ? map(fd) : NULL;
    if (p && p->magic == MAGIC) {
        if (ret_inode) *ret_inode = st.st_ino;
        return p;
    }
    lease_page_close(p);
    err_set(err, ERR_INVALID, "%s is not a lease page of this version", path);
    return NULL;
}

/* Whole, then under its name: a page that is there is valid. */
static struct lease_page *make_page(const char *path, const char *boot_id, struct err *err) {
    char *temporary AUTO_FREE = xasprintf("%s.new", path);
    unlink(temporary);
    int fd AUTO_FD = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct lease_page *p = NULL;
    if (fd >= 0 && posix_fallocate(fd, 0, sizeof *p) == 0) p = map(fd);
    if (p) {
        p->magic = MAGIC;
        snprintf(p->boot_id, sizeof p->boot_id, "%s", boot_id);
        if (rename(temporary, path) == 0) return p;
    }
    err_set_errno(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_UNAVAILABLE, errno, "make %s", path);
    lease_page_close(p);
    unlink(temporary);
    return NULL;
}

struct lease_page *lease_page_make(const char *path, const char *boot_id, struct err *err) {
    struct err none = ERR_INIT;
    struct lease_page *p = open_page(path, NULL, &none);
    if (p && strncmp(p->boot_id, boot_id, sizeof p->boot_id) == 0) return p;
    lease_page_close(p);
    return make_page(path, boot_id, err);
}

struct lease_page *lease_page_open(const char *path, ino_t *ret_inode, struct err *err) {
    return open_page(path, ret_inode, err);
}

void lease_page_close(struct lease_page *p) {
    if (p) munmap(p, sizeof *p);
}

bool lease_page_is(const char *path, ino_t inode) {
    struct stat st;
    return stat(path, &st) < 0 || st.st_ino == inode;
}

bool lease_page_ended(const struct lease_page *p, int64_t now_ms) {
    return now_ms >= atomic_load(&p->until_ms);
}

static int64_t guard_ms(const struct lease_page *p) {
    int64_t guard = atomic_load(&p->length_ms) / GUARD_SHARE;
    return guard < GUARD_MIN_MS ? GUARD_MIN_MS : guard > GUARD_MAX_MS ? GUARD_MAX_MS : guard;
}

int64_t lease_page_left_ms(const struct lease_page *p, int64_t now_ms) {
    return atomic_load(&p->until_ms) - now_ms - guard_ms(p);
}

bool lease_page_closing(const struct lease_page *p, int64_t now_ms) {
    return lease_page_left_ms(p, now_ms) <= 0;
}

bool lease_page_watched(const struct lease_page *p, int64_t now_ms) {
    int64_t at = atomic_load(&p->watched_ms);
    return at != 0 && now_ms - at < LEASE_WATCHED_MS;
}

/* --- holds --- */

static struct lease_hold *find(struct lease_page *p, enum lease_hold_kind kind, const char *domain) {
    for (size_t i = 0; i < LEASE_HOLDS_MAX; i++) {
        struct lease_hold *h = &p->holds[i];
        if (atomic_load(&h->kind) == kind && strncmp(h->domain, domain, sizeof h->domain) == 0) return h;
    }
    return NULL;
}

bool lease_hold_has(struct lease_page *p, enum lease_hold_kind kind, const char *domain) {
    return find(p, kind, domain) != NULL;
}

bool lease_hold_add(struct lease_page *p, enum lease_hold_kind kind, const char *domain) {
    if (find(p, kind, domain)) return true;
    for (size_t i = 0; i < LEASE_HOLDS_MAX; i++) {
        struct lease_hold *h = &p->holds[i];
        uint32_t none = HOLD_NONE;
        if (!atomic_compare_exchange_strong(&h->kind, &none, HOLD_BEGUN)) continue;
        snprintf(h->domain, sizeof h->domain, "%s", domain);
        atomic_store(&h->kind, kind);
        return true;
    }
    return false;
}

void lease_hold_remove(struct lease_page *p, enum lease_hold_kind kind, const char *domain) {
    struct lease_hold *h = find(p, kind, domain);
    if (h) atomic_store(&h->kind, HOLD_NONE);
}

bool lease_hold_next(struct lease_page *p, enum lease_hold_kind kind, size_t *at,
                     char ret_domain[DOMAIN_NAME_BYTES]) {
    for (size_t i = *at; i < LEASE_HOLDS_MAX; i++) {
        if (atomic_load(&p->holds[i].kind) != kind) continue;
        snprintf(ret_domain, DOMAIN_NAME_BYTES, "%.*s", DOMAIN_NAME_BYTES - 1, p->holds[i].domain);
        *at = i + 1;
        return true;
    }
    return false;
}

bool lease_holds_any(struct lease_page *p) {
    for (size_t i = 0; i < LEASE_HOLDS_MAX; i++)
        if (atomic_load(&p->holds[i].kind) > HOLD_BEGUN) return true;
    return false;
}
