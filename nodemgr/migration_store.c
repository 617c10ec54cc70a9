#include "nodemgr/migration_internal.h"

int store_copy(struct migration *m, const json *body, json *extra, struct err *err) {
    (void)m, (void)body, (void)extra;
    return err_set(err, ERR_UNSUPPORTED, "states cannot be taken yet");
}

int store_confirm(struct migration *m, const json *body, json *extra, struct err *err) {
    return source_confirm(m, body, extra, err);
}
