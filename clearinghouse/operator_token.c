#include "operator_token.h"

#include "certificate_db.h"
#include "enrollment.h"
#include "enrollment_db.h"
#include "house.h"
#include "user_db.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>

LOG_MODULE("ch.operator");

struct ensuring {
    char urn[URN_MAX_BYTES];
    bool forced; /* a new token in any case */
    bool file_there;
    bool needed;   /* out: the row was stored, write the file */
    bool leftover; /* out: the file is of no use any more */
    struct enrollment row;
};

static char *token_path(const struct house *h) {
    return xasprintf("%s/operator.token", h->config->base.state_dir);
}

static int insert_operator(struct db_conn *c, const char *urn, struct err *err) {
    AUTO_USER struct user u = { .name = OPERATOR_NAME, .role = "operator", .version = 1 };
    u.ssh_keys = json_array();
    u.created_ms = clock_wall_ms();
    snprintf(u.urn, sizeof u.urn, "%s", urn);
    return user_db_insert(c, &u, err);
}

/* The user exists (on the first start, or when forced: somebody else may be operator by now). */
static int ensure_user(struct db_conn *c, const struct ensuring *e, struct err *err) {
    AUTO_USER struct user u = { .name = "" };
    struct err found = ERR_INIT;
    if (user_db_get(c, OPERATOR_NAME, &u, &found) != 0) {
        if (found.code != ERR_NOT_FOUND) return err_set(err, found.code, "%s", found.msg);
        int64_t others = user_db_other_operators(c, OPERATOR_NAME, err);
        if (others < 0) return -1;
        return others && !e->forced ? 0 : insert_operator(c, e->urn, err);
    }
    if (!e->forced || (!u.disabled && strcmp(u.role, "operator") == 0)) return 0;
    u.disabled = false;
    snprintf(u.role, sizeof u.role, "operator");
    return user_db_update(c, &u, err);
}

static int ensure(struct db_conn *c, void *arg, struct err *err) {
    struct ensuring *e = arg;
    if (ensure_user(c, e, err) != 0) return -1;
    int64_t had = certificate_db_count(c, e->urn, err);
    int waiting = enrollment_db_waiting(c, e->urn, clock_wall_ms(), err);
    if (had < 0 || waiting < 0) return -1;
    e->leftover = !e->forced && e->file_there && had > 0 && !waiting;
    bool never = had == 0 && !(waiting && e->file_there);
    AUTO_USER struct user u = { .name = "" };
    if (!e->forced && (!never || user_db_get(c, OPERATOR_NAME, &u, NULL) != 0)) return 0;
    e->needed = true;
    if (enrollment_db_forget_urn(c, e->urn, err) != 0) return -1;
    return enrollment_db_insert(c, &e->row, err);
}

static char *run(struct house *h, bool forced, struct err *err) {
    struct ensuring e = { .forced = forced };
    AUTO_FREE char *path = token_path(h);
    e.file_there = access(path, F_OK) == 0;
    urn_text(e.urn, h->authority.name, "user", OPERATOR_NAME);
    AUTO_FREE char *token = enrollment_new(h, e.urn, &e.row);
    if (db_write(h->db, ensure, &e, err) != 0) return NULL;
    if (e.leftover) unlink(path);
    if (e.needed) {
        AUTO_FREE char *line = xasprintf("%s\n", token);
        if (file_write(path, line, strlen(line), 0600, err) != 0) return NULL;
        log_info("one-time token of the operator written", "file=%s", path);
    }
    return STEAL(path);
}

int operator_ensure(struct house *h, struct err *err) {
    AUTO_FREE char *path = run(h, false, err);
    return path ? 0 : err_wrap(err, "the first operator");
}

char *operator_token_renew(struct house *h, struct err *err) { return run(h, true, err); }

void operator_token_used(struct house *h, const char *urn) {
    if (!urn_is(urn, "user", h->authority.name) || strcmp(urn_name(urn), OPERATOR_NAME) != 0)
        return;
    AUTO_FREE char *path = token_path(h);
    if (unlink(path) != 0 && errno != ENOENT)
        log_warn("a used token's file could not be removed", "file=%s errno=%d", path, errno);
}
