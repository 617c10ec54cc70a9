#include "http.h"

#include <errno.h>
#include <inttypes.h>

const char *http_header(const struct http_request *req, const char *name) {
    return req->fields ? req->fields->header(req, name) : NULL;
}

const char *http_query(const struct http_request *req, const char *name) {
    return req->fields ? req->fields->query(req, name) : NULL;
}

int http_query_int(const struct http_request *req, const char *name, int64_t min, int64_t max,
                   int64_t otherwise, int64_t *ret, struct err *err) {
    const char *text = http_query(req, name);
    if (!text) {
        *ret = otherwise;
        return 0;
    }
    errno = 0;
    char *end;
    long long v = strtoll(text, &end, 10);
    bool number = *text && strspn(text, "-0123456789") == strlen(text) && !*end && !errno;
    if (!number || v < min || v > max)
        return err_set(err, ERR_INVALID,
                       "query argument %s must be an integer from %" PRId64 " to %" PRId64, name,
                       min, max);
    *ret = v;
    return 0;
}
