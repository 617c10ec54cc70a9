#include "frame/layout.h"

#include "common/schema.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static const struct layout builtin[] = {
    { .slice_type = JOGAK_FRAME_SLICE, .name = "slice" },
    { .slice_type = JOGAK_FRAME_PLACES,
      .name = "places",
      .info_bytes = 12,
      .count = 3,
      .fields = { { "interface", 0, 32 }, { "source", 32, 32 }, { "destination", 64, 32 } } },
};

const struct layout *layout_builtin(unsigned slice_type) {
    for (size_t i = 0; i < COUNT_OF(builtin); i++)
        if (builtin[i].slice_type == slice_type) return &builtin[i];
    return NULL;
}

/* --- documents --- */

static int check_field(const struct layout *l, size_t i, struct err *err) {
    const struct layout_field *f = &l->fields[i];
    if (f->offset + f->width > l->info_bytes * 8)
        return err_set(err, ERR_UNPROCESSABLE,
                       "/fields/%zu: \"%s\" ends at bit %u, and there are %zu", i, f->name,
                       f->offset + f->width, l->info_bytes * 8);
    for (size_t k = 0; k < i; k++) {
        const struct layout_field *g = &l->fields[k];
        if (strcmp(f->name, g->name) == 0)
            return err_set(err, ERR_UNPROCESSABLE, "/fields/%zu: there is a \"%s\" already", i,
                           f->name);
        if (f->offset < g->offset + g->width && g->offset < f->offset + f->width)
            return err_set(err, ERR_UNPROCESSABLE, "/fields/%zu: \"%s\" lies over \"%s\"", i,
                           f->name, g->name);
    }
    return 0;
}

int layout_parse(const json *document, struct layout *ret_layout, struct err *err) {
    const struct schema *schema = schema_find("layout#Layout", err);
    if (!schema || schema_check(schema, document, NULL, err)) return -1;
    struct layout l = { .slice_type = (uint8_t)json_get_int(document, "slice_type", 0),
                        .info_bytes = (size_t)json_get_int(document, "info_bytes", 0) };
    snprintf(l.name, sizeof l.name, "%s", json_get_str(document, "name"));
    const json *fields = json_get(document, "fields");
    for (; l.count < json_length(fields) && l.count < LAYOUT_FIELDS_MAX; l.count++) {
        const json *one = json_at(fields, l.count);
        struct layout_field *f = &l.fields[l.count];
        snprintf(f->name, sizeof f->name, "%s", json_get_str(one, "name"));
        f->offset = (unsigned)json_get_int(one, "offset", 0);
        f->width = (unsigned)json_get_int(one, "width", 0);
        if (check_field(&l, l.count, err)) return -1;
    }
    *ret_layout = l;
    return 0;
}

json *layout_json(const struct layout *l) {
    json *fields = json_array(), *document = json_object();
    for (size_t i = 0; i < l->count; i++) {
        json *one = json_set_str(json_object(), "name", l->fields[i].name);
        json_set_int(one, "offset", l->fields[i].offset);
        json_add(fields, json_set_int(one, "width", l->fields[i].width));
    }
    json_set_int(document, "slice_type", l->slice_type);
    json_set_str(document, "name", l->name);
    json_set_int(document, "info_bytes", (int64_t)l->info_bytes);
    return json_set(document, "fields", fields);
}

/* --- bits --- */

uint64_t layout_get(const struct layout_field *f, const uint8_t *info) {
    uint64_t value = 0;
    for (unsigned bit = f->offset; bit < f->offset + f->width; bit++)
        value = value << 1 | ((uint32_t)info[bit / 8] >> (7 - bit % 8) & 1u);
    return value;
}

void layout_put(const struct layout_field *f, uint8_t *info, uint64_t value) {
    for (unsigned i = 0; i < f->width; i++) {
        unsigned bit = f->offset + f->width - 1 - i;
        uint8_t mask = (uint8_t)(1u << (7 - bit % 8));
        info[bit / 8] = (uint8_t)(value >> i & 1 ? info[bit / 8] | mask : info[bit / 8] & ~mask);
    }
}

/* --- values --- */

json *layout_values(const struct layout *l, const uint8_t *info) {
    json *values = json_object();
    for (size_t i = 0; i < l->count; i++) {
        const struct layout_field *f = &l->fields[i];
        uint64_t value = layout_get(f, info);
        if (f->width <= LAYOUT_JSON_BITS) {
            json_set_int(values, f->name, (int64_t)value);
            continue;
        }
        char text[24];
        snprintf(text, sizeof text, "0x%" PRIx64, value);
        json_set_str(values, f->name, text);
    }
    return values;
}

static int number_of(const json *value, uint64_t *ret_number) {
    if (json_kind(value) == JSON_INT) {
        if (json_int_value(value) < 0) return -1;
        *ret_number = (uint64_t)json_int_value(value);
        return 0;
    }
    const char *text = json_str(value);
    char *end;
    if (!text || !isdigit((unsigned char)*text)) return -1;
    errno = 0;
    *ret_number = strtoull(text, &end, 0);
    return errno || *end ? -1 : 0;
}

static const struct layout_field *find_field(const struct layout *l, const char *name) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->fields[i].name, name) == 0) return &l->fields[i];
    return NULL;
}

int layout_fill(const struct layout *l, const json *values, uint8_t *info, struct err *err) {
    uint8_t made[JOGAK_FRAME_INFO_MAX] = { 0 };
    size_t it = 0;
    const char *name;
    json *value;
    while (values && json_next(values, &it, &name, &value)) {
        const struct layout_field *f = find_field(l, name);
        uint64_t number;
        if (!f)
            return err_set(err, ERR_INVALID, "layout %s has no field \"%.40s\"", l->name, name);
        if (number_of(value, &number))
            return err_set(err, ERR_INVALID, "field %s: not a number from 0 on", f->name);
        if (f->width < 64 && number >> f->width)
            return err_set(err, ERR_INVALID, "field %s: %" PRIu64 " is more than %u bits hold",
                           f->name, number, f->width);
        layout_put(f, made, number);
    }
    memcpy(info, made, l->info_bytes);
    return 0;
}
