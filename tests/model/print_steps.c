/* Prints what the model needs of the table of steps (aggregate/migration/steps.c): steps.pml. */
#include "aggregate/migration/steps.h"

#include <stdio.h>

int main(void) {
    puts("/* Made by print_steps from aggregate/migration/steps.c; tests/model/check holds them together. */");
    printf("#define STEP_COUNT %d\n", STEP_COUNT);
    printf("#define COMMIT_AFTER %d\n", STEP_COMMIT_AFTER);
    for (int i = 0; i < STEP_COUNT; i++) {
        printf("#define STEP_");
        for (const char *c = steps[i].name; *c; c++) putchar(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        printf(" %d\n", steps[i].number);
    }
    printf("#define HAS_UNDO(n) (0");
    for (int i = 0; i < STEP_COUNT; i++)
        if (steps[i].undo) printf(" || (n) == %d", steps[i].number);
    puts(")");
    return 0;
}
