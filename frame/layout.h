/*
 * Layouts of slice info: where which field stands, so that people can write fields by name.
 *
 * A layout of a user's own comes as JSON (Layout in schemas/layout.yaml); the two built-in slice
 * types are described by the same structure. Fields are unsigned, counted in bits from the end of
 * the slice id, most significant bit first. Nothing here blocks; all may be called from any thread.
 */
#ifndef JOGAK_FRAME_LAYOUT_H
#define JOGAK_FRAME_LAYOUT_H

#include "common/json.h"
#include "frame/jogak-frame.h"

#define LAYOUT_FIELDS_MAX 64
#define LAYOUT_JSON_BITS 53 /* numbers up to this width are numbers in JSON, wider ones texts */

struct layout_field {
    char name[32];
    unsigned offset; /* bits */
    unsigned width;  /* bits, 1 to 64 */
};
struct layout {
    uint8_t slice_type;
    char name[64];
    size_t info_bytes; /* after the slice id: 0 to JOGAK_FRAME_INFO_MAX, a multiple of 4 */
    size_t count;
    struct layout_field fields[LAYOUT_FIELDS_MAX];
};

/* The layout of slice type 1 or 2; NULL for others. */
const struct layout *layout_builtin(unsigned slice_type);
/* From a document; borrows it. The schema must have been loaded (schema_load).
 * Errors: ERR_INVALID (breaks the schema), ERR_UNPROCESSABLE (fields overlap, have one name twice,
 * or lie outside). */
int layout_parse(const json *document, struct layout *ret_layout, struct err *err);
/* The document again; the caller drops it. */
json *layout_json(const struct layout *l);

/* The value of a field in info (l->info_bytes long, borrowed). */
uint64_t layout_get(const struct layout_field *f, const uint8_t *info);
/* Writes a value, of which the low f->width bits count; other bits of info stay. */
void layout_put(const struct layout_field *f, uint8_t *info, uint64_t value);

/* All fields by name: numbers, or "0x..." when wider than LAYOUT_JSON_BITS. */
json *layout_values(const struct layout *l, const uint8_t *info);
/* The other way: values is an object of numbers or texts ("12", "0x1f"); what it does not name is
 * 0. Errors: ERR_INVALID (no such field, no number, too large for its field). */
int layout_fill(const struct layout *l, const json *values, uint8_t *info, struct err *err);

#endif
