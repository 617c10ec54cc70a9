/*
 * Migrations: asking for one, looking at one, and the operation that runs it.
 */
#ifndef JOGAK_AGGREGATE_MIGRATION_H
#define JOGAK_AGGREGATE_MIGRATION_H

#include "../operation.h"
#include "../sliver.h"

/* In a transaction: an operation that moves this sliver. target "" lets the system choose.
 * trigger: request, drain, ... . The operation's id is the migration's. */
int migration_add(struct db_conn *c, const struct sliver *s, const char *owner,
                  const char *trigger, const char *target, char ret_id[37], struct err *err);
/* The same with all that can be said. */
struct migration_wish {
    const char *owner, *trigger;
    const char *target;   /* NULL: the system chooses */
    const char *delivery; /* direct, store, fresh, auto; NULL: as its policy says, or auto */
};
int migration_add_wish(struct db_conn *c, const struct sliver *s, const struct migration_wish *w,
                       char ret_id[37], struct err *err);
/* The operation's run: walks or resumes the twelve steps. */
int migration_run(struct aggregate *am, const struct operation *op, struct err *err);
/* Cancelling is possible before the commit only. */
int migration_may_cancel(struct db_conn *c, const struct operation *op, struct err *err);
/* The public form, with its steps (schema Migration). */
json *migration_json(struct db_conn *c, const char *id, struct err *err);

/* Routes. */
int migration_start(void *am, const struct http_request *req, struct http_reply *reply,
                    struct err *err);
int migration_list(void *am, const struct http_request *req, struct http_reply *reply,
                   struct err *err);
int migration_show(void *am, const struct http_request *req, struct http_reply *reply,
                   struct err *err);

/* Draining a node: moves everything away from it; and a slice, as a whole, to another place. With
 * {dry_run: true} they only say what would go where. The operation's run is moves_run() (moves.h). */
int drain_start(void *am, const struct http_request *req, struct http_reply *reply,
                struct err *err);
int slice_migrate(void *am, const struct http_request *req, struct http_reply *reply,
                  struct err *err);

#endif
