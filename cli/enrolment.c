#include "enrolment.h"

#include "common/service.h"
#include "format.h"

const struct option_row enrolment_options[] = {
    { "write", 'w', "FILE", "Write the token into this file (mode 0600) instead of printing it" },
    OPTION_END,
};

/* On standard output stands the token alone, so that it can be sent on through a pipe. */
static int print(struct cli *cli, const json *answer, const char *token, struct err *err) {
    const char *path = cli_option(cli, "write");
    char *urn AUTO_FREE = format_plain(json_get(answer, "urn"));
    char *until AUTO_FREE = format_until(json_get(answer, "expires"));
    if (path) {
        char *line AUTO_FREE = xasprintf("%s\n", token);
        if (file_write(path, line, strlen(line), 0600, err)) return -1;
        json *facts AUTO_JSON = json_copy(answer);
        json_del(facts, "token");
        output_said(&cli->output, facts, "token for %s written to %s; good once, until %s", urn, path,
                    until);
        return 0;
    }
    output_said(&cli->output, answer, "%s", token);
    if (!output_is_json(&cli->output))
        fprintf(cli->notes, "for %s; good once, until %s\n", urn, until);
    return 0;
}

int enrolment_run(struct cli *cli, const char *type, const char *name, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    json *body = json_set_str(json_set_str(json_object(), "type", type), "name", name);
    json *answer AUTO_JSON =
        session_json(s, SESSION_CLEARINGHOUSE, NULL, "POST", body, err, "/v1/enrollments");
    if (!answer) return -1;
    const char *token = json_get_str(answer, "token");
    if (!token) return err_set(err, ERR_INTERNAL, "the clearing house answered without a token");
    return print(cli, answer, token, err);
}
