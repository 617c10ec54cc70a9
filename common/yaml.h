/*
 * The YAML door (libyaml): a document becomes a json value, with the place of each value kept.
 *
 * YAML 1.2's core schema for plain scalars (true/false/null, decimal and 0x integers, floats;
 * "yes" and "on" are strings). Anchors and aliases, tags, several documents, duplicate keys, more
 * than JSON_DEPTH_MAX levels or JSON_SIZE_MAX bytes are refused. Errors carry "file:line:column".
 */
#ifndef JOGAK_YAML_H
#define JOGAK_YAML_H

#include "json.h"

struct yaml_places; /* where each value stood in the text */

/* file: the name used in messages (borrowed). ret_places may be NULL; freed by yaml_places_free(). */
json *yaml_parse(const char *file, const char *text, size_t length,
                 struct yaml_places **ret_places, struct err *err);
/* "file:line:column" of a JSON pointer ("/slivers/0/image"); of its nearest ancestor when that
 * pointer has no place of its own. Borrowed until the places are freed. */
const char *yaml_place(const struct yaml_places *places, const char *pointer);
void yaml_places_free(struct yaml_places *places);

#endif
