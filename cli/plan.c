#include "plan.h"

static const json *part(const json *plan, const char *name) { return json_get(plan, name); }

static void line(FILE *out, const char *colour, const char *verb, const char *name,
                 const char *why) {
    fprintf(out, "%s%s ", colour ? colour : "", verb);
    output_text(out, name ? name : "?");
    if (why) {
        fputs(" (", out);
        output_text(out, why);
        fputs(")", out);
    }
    fputs(colour ? "\033[0m\n" : "\n", out);
}

void plan_print(FILE *out, const json *plan, bool colour) {
    const json *create = part(plan, "create"), *replace = part(plan, "replace");
    const json *drop = part(plan, "delete");
    for (size_t i = 0; i < json_length(create); i++)
        line(out, colour ? "\033[32m" : NULL, "+ create", json_str(json_at(create, i)), NULL);
    for (size_t i = 0; i < json_length(replace); i++)
        line(out, colour ? "\033[33m" : NULL, "~ replace",
             json_get_str(json_at(replace, i), "name"), json_get_str(json_at(replace, i), "why"));
    for (size_t i = 0; i < json_length(drop); i++)
        line(out, colour ? "\033[31m" : NULL, "- delete", json_str(json_at(drop, i)), NULL);
    const char *problem = json_get_str(plan, "problem");
    if (problem) line(out, colour ? "\033[31m" : NULL, "! not possible:", problem, NULL);
    size_t kept = json_length(part(plan, "keep"));
    if (plan_is_empty(plan)) fprintf(out, "nothing to do: %zu slivers are as they should be\n", kept);
    else
        fprintf(out, "%zu to create, %zu to replace, %zu to delete, %zu to keep\n",
                json_length(create), json_length(replace), json_length(drop), kept);
}

bool plan_is_empty(const json *plan) {
    return !plan_makes(plan) && !json_length(part(plan, "delete"));
}

bool plan_makes(const json *plan) {
    return json_length(part(plan, "create")) + json_length(part(plan, "replace")) > 0;
}

json *plan_leaving(const json *plan) {
    json *names = json_array();
    const json *replace = part(plan, "replace"), *drop = part(plan, "delete");
    for (size_t i = 0; i < json_length(replace); i++)
        json_add(names, json_string(json_get_str(json_at(replace, i), "name")));
    for (size_t i = 0; i < json_length(drop); i++) json_add(names, json_ref(json_at(drop, i)));
    return names;
}
