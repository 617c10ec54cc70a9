/* A slice as a drawing: slivers on nodes, and the links between them. */
#ifndef JOGAK_CLI_GRAPH_H
#define JOGAK_CLI_GRAPH_H

#include "command.h"

/* Both take a list of slivers (schema Sliver) and draw it whole; they borrow it. */
void graph_text(FILE *out, const json *slivers, bool utf8, int width);
void graph_dot(FILE *out, const char *slice, const json *slivers);

#endif
