/*
 * Completion scripts, made from the table: a line "noun verb) words" for every command.
 */
#include "command.h"

#include <stdio.h>

static void put_options(FILE *out, const struct option_row *o) {
    for (; o && o->name; o++) fprintf(out, " --%s", o->name);
}

/* The words that may follow `noun` and the first `count` words of a verb; each once. */
static void put_verbs(FILE *out, const struct command_group *g) {
    const char *last = "";
    size_t last_length = 0;
    for (const struct command *c = g->rows; c->verb; c++) {
        size_t n = strcspn(c->verb, " ");
        if (n && (n != last_length || strncmp(c->verb, last, n)))
            fprintf(out, " %.*s", (int)n, c->verb);
        last = c->verb, last_length = n;
    }
}

static void put_second_words(FILE *out, const struct command_group *g, const char *first,
                             size_t length) {
    fprintf(out, "    '%s %.*s') words='", g->noun, (int)length, first);
    for (const struct command *c = g->rows; c->verb; c++)
        if (strncmp(c->verb, first, length) == 0 && c->verb[length] == ' ')
            fprintf(out, "%s ", c->verb + length + 1);
    fputs("' ;;\n", out);
}

/* "noun verb) its options" for every command, "noun) its verbs" for every noun. */
static void put_cases(FILE *out) {
    char name[96];
    for (size_t i = 0; command_groups[i]; i++) {
        const struct command_group *g = command_groups[i];
        if (g->rows[0].verb[0]) {
            fprintf(out, "    '%s') words='", g->noun);
            put_verbs(out, g);
            fputs("' ;;\n", out);
        }
        const char *told = "";
        for (const struct command *c = g->rows; c->verb; c++) {
            size_t n = strcspn(c->verb, " ");
            if (c->verb[n] && strncmp(told, c->verb, n + 1)) put_second_words(out, g, told = c->verb, n);
            fprintf(out, "    '%s') words='", command_name(g, c, name, sizeof name));
            put_options(out, c->options);
            put_options(out, command_global_options);
            fputs("' ;;\n", out);
        }
    }
}

static void put_nouns(FILE *out) {
    for (size_t i = 0; command_groups[i]; i++) fprintf(out, " %s", command_groups[i]->noun);
}

/* Patterns of "words so far:option" for the options that take a value. */
static void put_value_options(FILE *out) {
    char name[96];
    fputs("*:-o | *:--output", out);
    for (size_t i = 0; command_groups[i]; i++)
        for (const struct command *c = command_groups[i]->rows; c->verb; c++)
            for (const struct option_row *o = c->options; o && o->name; o++) {
                if (!o->value) continue;
                command_name(command_groups[i], c, name, sizeof name);
                fprintf(out, " | \\\n        '%s'*:--%s", name, o->name);
                if (o->letter) fprintf(out, " | '%s'*:-%c", name, o->letter);
            }
}

/* Both shells: the words typed so far, without options and their values, say which line it is. The
 * last of them being an option with a value, there is nothing to say: then the shell completes file
 * names. */
static void put_functions(FILE *out) {
    fputs("_jogak_words() {\n  local typed=\"$1\" words=''\n  case \"$typed\" in\n    '') words='",
          out);
    put_nouns(out);
    fputs(" -o' ;;\n", out);
    put_cases(out);
    fputs("    *' '*) _jogak_words \"${typed% *}\"; return ;;\n  esac\n  printf '%s' \"$words\"\n}\n"
          "_jogak_next() {\n"
          "  local typed='' value='' word\n"
          "  for word in \"$@\"; do\n"
          "    if [ -n \"$value\" ]; then value=''; continue; fi\n"
          "    case \"$typed:$word\" in\n"
          "      ", out);
    put_value_options(out);
    fputs(") value=\"$word\" ;;\n"
          "      *:-*) ;;\n"
          "      *) typed=\"${typed:+$typed }$word\" ;;\n"
          "    esac\n"
          "  done\n"
          "  case \"$value\" in\n"
          "    '') _jogak_words \"$typed\" ;;\n"
          "    -o | --output) printf 'table json' ;;\n"
          "  esac\n"
          "}\n", out);
}

static void bash(FILE *out) {
    fputs("# bash completion of jogak; made by: jogak completion bash\n", out);
    put_functions(out);
    fputs("_jogak() {\n"
          "  mapfile -t COMPREPLY < <(compgen -W \"$(_jogak_next \"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\" "
          "-- \"${COMP_WORDS[COMP_CWORD]}\")\n"
          "}\n"
          "complete -o default -F _jogak jogak\n", out);
}

static void zsh(FILE *out) {
    fputs("#compdef jogak\n# zsh completion of jogak; made by: jogak completion zsh\n", out);
    put_functions(out);
    fputs("_jogak() {\n"
          "  compadd -- ${=\"$(_jogak_next \"${(@)words[2,CURRENT-1]}\")\"}\n"
          "  _files\n"
          "}\n"
          "if [ \"$funcstack[1]\" = _jogak ]; then _jogak \"$@\"; else compdef _jogak jogak; fi\n",
          out);
}

int completion_print(FILE *out, const char *shell, struct err *err) {
    if (strcmp(shell, "bash") == 0) bash(out);
    else if (strcmp(shell, "zsh") == 0) zsh(out);
    else return err_set(err, ERR_INVALID, "there is no completion for \"%.40s\": bash or zsh", shell);
    return 0;
}
