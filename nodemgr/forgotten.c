#include "forgotten.h"

#include <stdio.h>
#include <string.h>

void forgotten_note(struct forgotten *f, const char *id, int64_t epoch) {
    size_t at = f->next;
    for (size_t i = 0; i < FORGOTTEN_MAX; i++)
        if (strcmp(f->rows[i].id, id) == 0) at = i;
    if (at == f->next) {
        f->next = (f->next + 1) % FORGOTTEN_MAX;
        f->rows[at].epoch = 0;
    }
    snprintf(f->rows[at].id, sizeof f->rows[at].id, "%s", id);
    if (f->rows[at].epoch < epoch) f->rows[at].epoch = epoch;
}

bool forgotten_has(const struct forgotten *f, const char *id, int64_t epoch) {
    for (size_t i = 0; i < FORGOTTEN_MAX; i++)
        if (strcmp(f->rows[i].id, id) == 0) return epoch <= f->rows[i].epoch;
    return false;
}
