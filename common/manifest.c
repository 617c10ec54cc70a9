#include "manifest.h"

#include "clock.h"
#include "ids.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <errno.h>

static const char *const kinds[] = { "image", "snapshot", "checkpoint" };
static const char *const formats[] = { "qcow2", "raw" };

const char *manifest_kind_name(enum manifest_kind k) { return kinds[k]; }
const char *manifest_format_name(enum manifest_format f) { return formats[f]; }

static int find(const char *const *names, size_t count, const char *name) {
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0) return (int)i;
    return -1;
}

int manifest_kind_parse(const char *name, enum manifest_kind *ret, struct err *err) {
    int i = find(kinds, COUNT_OF(kinds), name);
    if (i < 0) return err_set(err, ERR_INVALID, "/kind: must be image, snapshot or checkpoint");
    *ret = (enum manifest_kind)i;
    return 0;
}

int manifest_format_parse(const char *name, enum manifest_format *ret, struct err *err) {
    int i = find(formats, COUNT_OF(formats), name);
    if (i < 0) return err_set(err, ERR_INVALID, "/format: must be qcow2 or raw");
    *ret = (enum manifest_format)i;
    return 0;
}

/* --- reading --- */

static int only_known(const json *object, const char *where, const char *const *known, size_t count,
                      struct err *err) {
    size_t it = 0;
    const char *key;
    json *value;
    if (json_kind(object) != JSON_OBJECT)
        return err_set(err, ERR_INVALID, "%s: must be an object", where);
    while (json_next(object, &it, &key, &value))
        if (find(known, count, key) < 0)
            return err_set(err, ERR_INVALID, "%s: unknown member %.64s", where, key);
    return 0;
}

static int read_size(const json *object, const char *where, const char *key, int64_t min,
                     int64_t max, int64_t *ret, struct err *err) {
    const json *value = json_get(object, key);
    if (!value || json_kind(value) != JSON_INT || json_int_value(value) < min ||
        json_int_value(value) > max)
        return err_set(err, ERR_INVALID, "%s/%s: must be an integer from %" PRId64 " to %" PRId64,
                       where, key, min, max);
    *ret = json_int_value(value);
    return 0;
}

static int read_chunk(const json *j, size_t index, struct manifest_chunk *ret, struct err *err) {
    static const char *const known[] = { "digest", "size", "zero" };
    char where[32];
    snprintf(where, sizeof where, "/chunks/%zu", index);
    if (only_known(j, where, known, COUNT_OF(known), err)) return -1;
    const char *digest = json_get_str(j, "digest");
    ret->zero = json_get_bool(j, "zero", false);
    if (json_has(j, "zero") && !ret->zero)
        return err_set(err, ERR_INVALID, "%s/zero: must be true or absent", where);
    if (ret->zero ? json_has(j, "digest") : !digest || !sha256_text_valid(digest))
        return err_set(err, ERR_INVALID, "%s/digest: %s", where,
                       ret->zero ? "a run of zeros has none"
                                 : "must be 64 lower-case hexadecimal digits");
    if (digest) hex_parse(digest, ret->digest, SHA256_BYTES);
    return read_size(j, where, "size", 1, ret->zero ? MANIFEST_SIZE_MAX : CHUNK_MAX_BYTES,
                     &ret->size, err);
}

static int read_chunks(const json *j, struct manifest *m, struct err *err) {
    const json *chunks = json_get(j, "chunks");
    if (!chunks || json_kind(chunks) != JSON_ARRAY || json_length(chunks) > MANIFEST_CHUNKS_MAX)
        return err_set(err, ERR_INVALID, "/chunks: must be an array of at most %u",
                       MANIFEST_CHUNKS_MAX);
    size_t count = json_length(chunks);
    m->chunks = xcalloc(count ? count : 1, sizeof *m->chunks);
    int64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (read_chunk(json_at(chunks, i), i, &m->chunks[i], err)) return -1;
        m->chunks[i].offset = offset;
        offset += m->chunks[i].size;
        m->chunk_count++;
        if (offset > m->size_bytes) break; /* also keeps the sum from overflowing */
    }
    if (offset == m->size_bytes) return 0;
    return err_set(err, ERR_INVALID, "/size_bytes: is %" PRId64 ", but the chunks have %s bytes",
                   m->size_bytes, offset > m->size_bytes ? "more" : "fewer");
}

static int read_part(const json *j, size_t index, struct manifest_part *ret, struct err *err) {
    static const char *const known[] = { "name", "size_bytes" };
    char where[32];
    snprintf(where, sizeof where, "/parts/%zu", index);
    if (only_known(j, where, known, COUNT_OF(known), err)) return -1;
    const char *name = json_get_str(j, "name");
    if (!name || !name_valid(name)) return err_set(err, ERR_INVALID, "%s/name: is no name", where);
    snprintf(ret->name, sizeof ret->name, "%s", name);
    return read_size(j, where, "size_bytes", 0, MANIFEST_SIZE_MAX, &ret->size_bytes, err);
}

static int read_parts(const json *j, struct manifest *m, struct err *err) {
    const json *parts = json_get(j, "parts");
    if (!parts && !json_has(j, "parts")) return 0;
    if (!parts || json_kind(parts) != JSON_ARRAY || json_length(parts) < 1 ||
        json_length(parts) > MANIFEST_PARTS_MAX)
        return err_set(err, ERR_INVALID, "/parts: must be an array of 1 to %u", MANIFEST_PARTS_MAX);
    int64_t sum = 0;
    for (size_t i = 0; i < json_length(parts); i++) {
        if (read_part(json_at(parts, i), i, &m->parts[i], err)) return -1;
        sum += m->parts[i].size_bytes;
        m->part_count++;
    }
    if (sum == m->size_bytes) return 0;
    return err_set(err, ERR_INVALID, "/parts: their sizes do not add up to size_bytes");
}

static int read_head(const json *j, struct manifest *m, struct err *err) {
    static const char *const known[] = { "chunks", "created", "epoch", "format", "kind", "name",
                                         "parts", "size_bytes", "v", "virtual_size_bytes" };
    int64_t version;
    if (only_known(j, "/", known, COUNT_OF(known), err)) return -1;
    if (read_size(j, "", "v", MANIFEST_VERSION, MANIFEST_VERSION, &version, err)) return -1;
    if (manifest_kind_parse(json_get_str(j, "kind"), &m->kind, err)) return -1;
    if (manifest_format_parse(json_get_str(j, "format"), &m->format, err)) return -1;
    const char *name = json_get_str(j, "name");
    if (!name || !name_valid(name))
        return err_set(err, ERR_INVALID, "/name: must be 1 to 63 letters, digits, '.', '_' or '-'");
    snprintf(m->name, sizeof m->name, "%s", name);
    const char *created = json_get_str(j, "created");
    if (!created || clock_parse_rfc3339(created, &m->created_ms) || m->created_ms < 0 ||
        m->created_ms > MANIFEST_CREATED_MAX_MS)
        return err_set(err, ERR_INVALID, "/created: must be a time such as 2026-11-22T10:00:00Z");
    m->epoch = -1;
    if (json_has(j, "epoch") && read_size(j, "", "epoch", 0, INT64_C(1) << 53, &m->epoch, err))
        return -1;
    if (read_size(j, "", "virtual_size_bytes", 0, INT64_C(1) << 53, &m->virtual_size_bytes, err))
        return -1;
    return read_size(j, "", "size_bytes", 0, MANIFEST_SIZE_MAX, &m->size_bytes, err);
}

int manifest_from_json(const json *j, struct manifest *ret, struct err *err) {
    AUTO_MANIFEST struct manifest m = { .epoch = -1 };
    if (read_head(j, &m, err) || read_chunks(j, &m, err) || read_parts(j, &m, err))
        return err_wrap(err, "manifest");
    *ret = m;
    m = (struct manifest){ 0 };
    return 0;
}

int manifest_from_text(const char *text, size_t length, const char *digest, struct manifest *ret,
                       struct err *err) {
    AUTO_JSON json *j = json_parse(text, length, err);
    if (!j) return err_wrap(err, "manifest %.64s", digest);
    AUTO_MANIFEST struct manifest m = { 0 };
    if (manifest_from_json(j, &m, err)) return err_wrap(err, "manifest %.64s", digest);
    char found[SHA256_TEXT_BYTES];
    if (strcmp(manifest_digest(&m, found), digest) != 0)
        return err_set(err, ERR_INTEGRITY, "manifest %.64s is damaged: its content has digest %s",
                       digest, found);
    *ret = m;
    m = (struct manifest){ 0 };
    return 0;
}

/* --- making --- */

static int add_span(struct manifest *m, const struct chunk_span *span, size_t *capacity,
                    struct err *err) {
    if (m->chunk_count == MANIFEST_CHUNKS_MAX) {
        err_set(err, ERR_TOO_LARGE, "the image has more than %u chunks", MANIFEST_CHUNKS_MAX);
        return err_remedy(err, "store images of at most about 16 GiB of data; qemu-img convert -c "
                               "may make it smaller");
    }
    if (m->chunk_count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 256;
        m->chunks = xrealloc_array(m->chunks, *capacity, sizeof *m->chunks);
    }
    struct manifest_chunk *c = &m->chunks[m->chunk_count++];
    *c = (struct manifest_chunk){ .zero = span->zero, .size = span->size, .offset = span->offset };
    if (!span->zero) sha256(span->data, (size_t)span->size, c->digest);
    return 0;
}

static int scan_all(struct manifest *m, struct chunk_scan *scan,
                    int (*step)(void *ctx, int64_t done_bytes), void *ctx, struct err *err) {
    struct chunk_span span;
    size_t capacity = 0;
    int more;
    while ((more = chunk_scan_next(scan, &span, err)) == 1) {
        if (add_span(m, &span, &capacity, err)) return -1;
        if (step && step(ctx, span.offset + span.size))
            return err_set(err, ERR_CANCELLED, "cancelled while reading the image");
    }
    return more;
}

int manifest_scan(struct manifest *m, int fd, int (*step)(void *ctx, int64_t done_bytes), void *ctx,
                  struct err *err) {
    struct stat st;
    if (fstat(fd, &st)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "look at the image");
    if (!S_ISREG(st.st_mode)) return err_set(err, ERR_INVALID, "the image is no regular file");
    if (st.st_size > MANIFEST_SIZE_MAX)
        return err_set(err, ERR_TOO_LARGE, "the image has more than 16 TiB");
    free(m->chunks);
    m->chunks = NULL;
    m->chunk_count = 0;
    m->size_bytes = st.st_size;
    struct chunk_scan *scan = chunk_scan_new(fd, st.st_size);
    int failed = scan_all(m, scan, step, ctx, err);
    chunk_scan_free(scan);
    return failed;
}

int manifest_scan_part(struct manifest *m, const char *name, int fd, int64_t from,
                       int (*step)(void *ctx, int64_t done_bytes), void *ctx, struct err *err) {
    struct stat st;
    if (fstat(fd, &st)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "look at %s", name);
    if (!S_ISREG(st.st_mode) || st.st_size < from)
        return err_set(err, ERR_INVALID, "%s is no file of %" PRId64 " bytes and more", name, from);
    if (m->part_count == MANIFEST_PARTS_MAX || st.st_size > MANIFEST_SIZE_MAX - m->size_bytes)
        return err_set(err, ERR_TOO_LARGE, "%s is too large, or one part too many", name);
    struct manifest part = { .size_bytes = st.st_size };
    struct chunk_scan *scan = chunk_scan_from(fd, from, st.st_size);
    int failed = scan_all(&part, scan, step, ctx, err);
    chunk_scan_free(scan);
    if (!failed && part.chunk_count > MANIFEST_CHUNKS_MAX - m->chunk_count)
        failed = err_set(err, ERR_TOO_LARGE, "%s has too many chunks", name);
    if (!failed) {
        m->chunks = xrealloc_array(m->chunks, m->chunk_count + part.chunk_count + 1,
                                   sizeof *m->chunks);
        for (size_t i = 0; i < part.chunk_count; i++) {
            part.chunks[i].offset += m->size_bytes - from;
            m->chunks[m->chunk_count++] = part.chunks[i];
        }
        struct manifest_part *p = &m->parts[m->part_count++];
        snprintf(p->name, sizeof p->name, "%s", name);
        p->size_bytes = st.st_size - from;
        m->size_bytes += p->size_bytes;
    }
    manifest_done(&part);
    return failed;
}

static void write_chunk(struct buf *out, const struct manifest_chunk *c) {
    if (c->zero) {
        buf_printf(out, "{\"size\":%" PRId64 ",\"zero\":true}", c->size);
        return;
    }
    char digest[SHA256_TEXT_BYTES];
    hex_text(c->digest, SHA256_BYTES, digest);
    buf_printf(out, "{\"digest\":\"%s\",\"size\":%" PRId64 "}", digest, c->size);
}

/* Names are checked when read, so nothing here needs escaping. */
static void write_parts(struct buf *out, const struct manifest *m) {
    if (m->part_count == 0) return;
    buf_puts(out, "\"parts\":[");
    for (size_t i = 0; i < m->part_count; i++)
        buf_printf(out, "%s{\"name\":\"%s\",\"size_bytes\":%" PRId64 "}", i ? "," : "",
                   m->parts[i].name, m->parts[i].size_bytes);
    buf_puts(out, "],");
}

char *manifest_text(const struct manifest *m) {
    AUTO_BUF struct buf out = BUF_INIT;
    char created[CLOCK_TEXT_BYTES];
    buf_puts(&out, "{\"chunks\":[");
    for (size_t i = 0; i < m->chunk_count; i++) {
        if (i) buf_puts(&out, ",");
        write_chunk(&out, &m->chunks[i]);
    }
    buf_printf(&out, "],\"created\":\"%s\",", clock_rfc3339(m->created_ms, created));
    if (m->epoch >= 0) buf_printf(&out, "\"epoch\":%" PRId64 ",", m->epoch);
    buf_printf(&out, "\"format\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\",", formats[m->format],
               kinds[m->kind], m->name);
    write_parts(&out, m);
    buf_printf(&out, "\"size_bytes\":%" PRId64 ",\"v\":%d,\"virtual_size_bytes\":%" PRId64 "}",
               m->size_bytes, MANIFEST_VERSION, m->virtual_size_bytes);
    return buf_steal(&out);
}

char *manifest_digest(const struct manifest *m, char ret[SHA256_TEXT_BYTES]) {
    AUTO_FREE char *text = manifest_text(m);
    return sha256_text(text, strlen(text), ret);
}

void manifest_done(struct manifest *m) {
    free(m->chunks);
    *m = (struct manifest){ 0 };
}
