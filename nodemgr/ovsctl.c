#include "nodemgr/ovsctl.h"

#include "nodemgr/ovsdb.h"

#include <errno.h>
#include <stdio.h>

static int read_pid(const char *run_dir, long *ret, struct err *err) {
    AUTO_FREE char *path = xasprintf("%s/ovs-vswitchd.pid", run_dir);
    FILE *file = fopen(path, "re");
    if (!file) return err_set(err, ERR_UNAVAILABLE, "open %s: %s", path, strerror(errno));
    int got = fscanf(file, "%9ld", ret);
    fclose(file);
    return got == 1 ? 0 : err_set(err, ERR_UNAVAILABLE, "%s holds no process id", path);
}

int ovsctl_run(const char *run_dir, const char *command, int64_t deadline_ms, struct err *err) {
    long pid = 0;
    if (read_pid(run_dir, &pid, err)) return -1;
    AUTO_FREE char *path = xasprintf("%s/ovs-vswitchd.%ld.ctl", run_dir, pid);
    CLEANUP(ovsdb_close) struct ovsdb connection = OVSDB_INIT;
    if (ovsdb_open(&connection, path, err)) return -1;
    AUTO_JSON json *answer = ovsdb_call(&connection, command, json_array(), deadline_ms, err);
    return answer ? 0 : err_wrap(err, "%s", command);
}
