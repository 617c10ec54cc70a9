/*
 * yamlflat: prints a YAML document as lines "path<TAB>value", for a shell to read.
 *
 *     ethernets: {a: {addresses: [10.1.0.2/24]}}   ->   ethernets.a.addresses.0<TAB>10.1.0.2/24
 *
 * The guest's init uses it for the seed, so that any spelling of a seed works (block or flow style,
 * JSON), as with cloud-init.  Newlines, tabs and backslashes in a value are written as \n, \t,
 * \\ (printf '%b' undoes it). Exit status: 0, or 1 with a message when standard input is not YAML
 * or nests too deep.
 */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { PATH_MAX_BYTES = 1024, DEPTH_MAX = 32 };

static void print_value(const char *path, const yaml_node_t *node) {
    printf("%s\t", path);
    for (size_t i = 0; i < node->data.scalar.length; i++) {
        unsigned char c = node->data.scalar.value[i];
        switch (c) {
        case '\n':
            fputs("\\n", stdout);
            break;
        case '\t':
            fputs("\\t", stdout);
            break;
        case '\\':
            fputs("\\\\", stdout);
            break;
        default:
            putchar(c);
        }
    }
    putchar('\n');
}

static int print_node(yaml_document_t *doc, yaml_node_t *node, const char *path, int depth);

/* Goes down one step: PATH + "." + STEP. */
static int print_child(yaml_document_t *doc, int id, const char *path, const char *step,
                       int depth) {
    char child[PATH_MAX_BYTES];
    int length = snprintf(child, sizeof(child), "%s%s%s", path, *path ? "." : "", step);
    if (length < 0 || (size_t)length >= sizeof(child)) return -1;
    return print_node(doc, yaml_document_get_node(doc, id), child, depth + 1);
}

static int print_sequence(yaml_document_t *doc, yaml_node_t *node, const char *path, int depth) {
    int index = 0;
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        char step[16];
        snprintf(step, sizeof(step), "%d", index++);
        if (print_child(doc, *item, path, step, depth) < 0) return -1;
    }
    return 0;
}

static int print_mapping(yaml_document_t *doc, yaml_node_t *node, const char *path, int depth) {
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(doc, pair->key);
        if (!key || key->type != YAML_SCALAR_NODE) return -1;
        if (print_child(doc, pair->value, path, (const char *)key->data.scalar.value, depth) < 0)
            return -1;
    }
    return 0;
}

static int print_node(yaml_document_t *doc, yaml_node_t *node, const char *path, int depth) {
    if (!node || depth > DEPTH_MAX) return -1;
    switch (node->type) {
    case YAML_SCALAR_NODE:
        print_value(path, node);
        return 0;
    case YAML_SEQUENCE_NODE:
        return print_sequence(doc, node, path, depth);
    case YAML_MAPPING_NODE:
        return print_mapping(doc, node, path, depth);
    default:
        return -1;
    }
}

int main(void) {
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!yaml_parser_initialize(&parser)) return 1;
    yaml_parser_set_input_file(&parser, stdin);
    if (!yaml_parser_load(&parser, &doc)) {
        fprintf(stderr, "yamlflat: line %zu: %s\n", parser.problem_mark.line + 1, parser.problem);
        return 1;
    }
    yaml_node_t *root = yaml_document_get_root_node(&doc);
    if (root && print_node(&doc, root, "", 0) < 0) {
        fprintf(stderr, "yamlflat: the document nests too deep or has keys that are no scalars\n");
        return 1;
    }
    return 0;
}
