/*
 * A topology file: YAML, read with the place of every value, so that what a service finds wrong
 * with it can be shown as file:line:column.
 */
#ifndef JOGAK_CLI_TOPOLOGY_FILE_H
#define JOGAK_CLI_TOPOLOGY_FILE_H

#include "command.h"
#include "common/yaml.h"

struct topology_file {
    char *name, *text;
    json *topology;
    struct yaml_places *places;
};
/* path "-": standard input. *ret is the caller's to topology_file_done(), also after an error. */
int topology_file_read(struct cli *cli, const char *path, struct topology_file *ret,
                       struct err *err);
void topology_file_done(struct topology_file *f);
/* Puts the place in front of a message that begins with a JSON pointer, "/slivers/0/image: ..." or
 * "body: /topology/slivers/...". Returns -1. */
int topology_file_locate(const struct topology_file *f, struct err *err);

#endif
