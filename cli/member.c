#include "member.h"

int member_put(struct cli *cli, const char *of, const char *name, const char *user,
               const char *role, struct err *err) {
    struct session *s = cli_session(cli, err);
    if (!s) return -1;
    if (!role) role = "member";
    json *answer AUTO_JSON = session_json(s, SESSION_CLEARINGHOUSE, NULL, "PUT",
                                          json_set_str(json_object(), "role", role), err,
                                          "/v1/%s/%s/members/%s", of, name, user);
    if (!answer) return -1;
    output_said(&cli->output, answer, "%s is %s of %s now", user, role, name);
    return 0;
}

int member_remove(struct cli *cli, const char *of, const char *name, const char *user,
                  struct err *err) {
    struct session *s = cli_session(cli, err);
    json *answer AUTO_JSON = s ? session_json(s, SESSION_CLEARINGHOUSE, NULL, "DELETE", NULL, err,
                                              "/v1/%s/%s/members/%s", of, name, user)
                               : NULL;
    if (!answer) return -1;
    output_said(&cli->output, NULL, "%s is not in %s any more", user, name);
    return 0;
}
