/*
 * JSON Schema (2020-12, the vocabulary our documents use), against embedded documents.
 *
 * Documents are the YAML files of schemas/, compiled into the binaries; a document is named by its
 * file name without suffix ("aggregate"), a schema in it by "aggregate#/components/schemas/Sliver",
 * or shorter "aggregate#Sliver". Loading checks that every $ref resolves and that no unknown
 * keyword is used, so that a typing error in a schema cannot switch a check off.
 */
#ifndef JOGAK_SCHEMA_H
#define JOGAK_SCHEMA_H

#include "json.h"

/* Loads all embedded documents; once per process, before threads start. */
int schema_load(struct err *err);
/* Only these documents (NULL-terminated) without their paths, for a service that has no use for the
 * others' memory; whatever they refer to must be among them. */
int schema_load_only(const char *const *names, struct err *err);
/* Forgets them again (tests that look for leaks). */
void schema_unload(void);
/* The whole embedded document as json (borrowed), NULL when unknown. */
const json *schema_document(const char *name);

struct schema;
/* Borrowed for the life of the process. NULL with ERR_INTERNAL when there is no such schema. */
const struct schema *schema_find(const char *name, struct err *err);
/* A schema from a json value, for tests and for layouts that users register; caller frees. */
struct schema *schema_compile(const json *document, struct err *err);
void schema_free(struct schema *s);

/* 0 when valid; else -1, ERR_INVALID, message "<pointer>: <what is wrong>", e.g.
 * "/slivers/0/memory_mib: 4 is less than the minimum 16". When ret_pointer is not NULL it gets the
 * JSON pointer of the offending value (caller frees). */
int schema_check(const struct schema *s, const json *value, char **ret_pointer, struct err *err);

#endif
