/*
 * Prints a service's route table, one row per line, fields by tabs:
 *   method  pattern  roles (hexadecimal)  request schema  reply schema  bytes|json
 * so that a script can hold it against the OpenAPI document. "-" stands for none.
 */
#include "print_routes.h"

#include <stdio.h>

static const char *or_none(const char *text) { return text ? text : "-"; }

int main(void) {
    struct route_table table = contract_routes();
    for (size_t i = 0; i < table.count; i++) {
        const struct route *r = &table.rows[i];
        printf("%s\t%s\t%x\t%s\t%s\t%s\n", r->method, r->pattern, r->roles, or_none(r->request),
               or_none(r->reply), r->raw ? "bytes" : "json");
    }
    return 0;
}
