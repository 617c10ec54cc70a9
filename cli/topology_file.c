#include "topology_file.h"

#include "input.h"

#define FILE_MAX_BYTES (1u << 20)

int topology_file_read(struct cli *cli, const char *path, struct topology_file *ret,
                       struct err *err) {
    size_t length = 0;
    *ret = (struct topology_file){ .name = xstrdup(strcmp(path, "-") ? path : "standard input") };
    ret->text = input_read(cli, path, FILE_MAX_BYTES, &length, err);
    if (!ret->text) return -1;
    ret->topology = yaml_parse(ret->name, ret->text, length, &ret->places, err);
    if (!ret->topology) return -1;
    if (json_kind(ret->topology) == JSON_OBJECT) return 0;
    err_set(err, ERR_INVALID, "%s: this is no topology", ret->name);
    return err_remedy(err, "it begins with slivers: or links:; see docs/experimenter.md");
}

void topology_file_done(struct topology_file *f) {
    free(f->name);
    free(f->text);
    json_put(f->topology);
    yaml_places_free(f->places);
    *f = (struct topology_file){ 0 };
}

int topology_file_locate(const struct topology_file *f, struct err *err) {
    static const char of_body[] = "body: ", envelope[] = "/topology";
    if (!err) return -1;
    const char *msg = err->msg;
    if (strncmp(msg, of_body, sizeof of_body - 1) == 0) msg += sizeof of_body - 1;
    size_t n = strcspn(msg, ": ");
    if (*msg != '/' || msg[n] != ':') return -1;
    char *pointer AUTO_FREE = xstrndup(msg, n);
    char *what AUTO_FREE = xstrdup(msg + n + 1 + strspn(msg + n + 1, " "));
    char *remedy AUTO_FREE = xstrdup(err->remedy);
    const char *inner = pointer;
    size_t skip = sizeof envelope - 1;
    if (strncmp(pointer, envelope, skip) == 0 && (!pointer[skip] || pointer[skip] == '/'))
        inner += skip;
    if (strcmp(inner, "/") == 0) inner = "";
    err_set(err, err->code, "%s: %s: %s", yaml_place(f->places, inner), *inner ? inner : "topology",
            what);
    return *remedy ? err_remedy(err, "%s", remedy) : -1;
}
