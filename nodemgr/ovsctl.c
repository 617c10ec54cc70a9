#include "nodemgr/ovsctl.h"

#include "nodemgr/ovsdb.h"

#include <stdio.h>

/* The socket's usual name has the daemon's pid in it; NULL when there is no pid file. */
static char *usual_path(const char *run_dir) {
    AUTO_FREE char *pid_file = xasprintf("%s/ovs-vswitchd.pid", run_dir);
    long pid = 0;
    FILE *file = fopen(pid_file, "re");
    if (!file) return NULL;
    int got = fscanf(file, "%9ld", &pid);
    fclose(file);
    return got == 1 ? xasprintf("%s/ovs-vswitchd.%ld.ctl", run_dir, pid) : NULL;
}

static int connect_any(struct ovsdb *connection, const char *run_dir, struct err *err) {
    AUTO_FREE char *usual = usual_path(run_dir);
    AUTO_FREE char *plain = xasprintf("%s/ovs-vswitchd.ctl", run_dir);
    if (usual && ovsdb_open(connection, usual, NULL) == 0) return 0;
    return ovsdb_open(connection, plain, err);
}

int ovsctl_run(const char *run_dir, const char *const command[], char **ret_answer,
               int64_t deadline_ms, struct err *err) {
    CLEANUP(ovsdb_close) struct ovsdb connection = OVSDB_INIT;
    if (connect_any(&connection, run_dir, err)) return -1;
    json *arguments = json_array();
    for (size_t i = 1; command[i]; i++) json_add(arguments, json_string(command[i]));
    AUTO_JSON json *answer = ovsdb_call(&connection, command[0], arguments, deadline_ms, err);
    if (!answer) return err_wrap(err, "%s", command[0]);
    const char *text = json_str(answer);
    if (ret_answer) *ret_answer = xstrdup(text ? text : "");
    return 0;
}
