/*
 * Identifiers: UUIDs, GENI URNs and names.
 *
 * A URN reads "urn:publicid:IDN+<authority>+<type>+<name>", e.g.
 * "urn:publicid:IDN+example.org:demo+slice+ring". The authority of a slice is
 * "<top authority>:<project>"; that of users, services and nodes is the top authority.
 * Types used: authority, user, project, slice, sliver, node, link, am (aggregate), sa, ss (store).
 */
#ifndef JOGAK_IDS_H
#define JOGAK_IDS_H

#include "err.h"

#include <stdbool.h>

#define UUID_TEXT_BYTES 37
/* A new random (version 4) UUID in lower case. Returns buf. */
char *uuid_new(char buf[UUID_TEXT_BYTES]);
bool uuid_valid(const char *text);

#define URN_MAX_BYTES 256
struct urn {
    char authority[128];
    char type[32];
    char name[64];
};
int urn_parse(const char *text, struct urn *ret_urn, struct err *err);
/* Writes "urn:publicid:IDN+a+t+n"; returns buf (at least URN_MAX_BYTES). */
char *urn_text(char *buf, const char *authority, const char *type, const char *name);
/* Does text name a thing of this type (and, when authority is not NULL, of that authority)? */
bool urn_is(const char *text, const char *type, const char *authority);
/* The last part, borrowed from text; "" when text is no URN. */
const char *urn_name(const char *text);

/* GENI's rule for slice names: 1 to 19 characters, letters, digits and '-', no leading '-'. */
bool name_valid_slice(const char *name);
/* Users, projects, nodes, images, slivers, links: 1 to 63 of a-z A-Z 0-9 . _ -, starting with a
 * letter or digit. */
bool name_valid(const char *name);

#endif
