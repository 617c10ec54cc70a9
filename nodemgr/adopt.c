#include "nodemgr/adopt.h"

#include "common/log.h"
#include "nodemgr/fence.h"
#include "nodemgr/hypervisor.h"
#include "nodemgr/sliver_db.h"
#include "nodemgr/sliver_parts.h"
#include "nodemgr/switch.h"

#include <dirent.h>
#include <stdio.h>

LOG_MODULE("nm.adopt");

#define SWITCH_MS 3000

static void directory_close(DIR **d) {
    if (*d) closedir(*d);
}
#define AUTO_DIRECTORY CLEANUP(directory_close)

/* --- rows from files --- */

static bool has_row(const struct sliver_rows *rows, const char *sliver, int64_t epoch) {
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].epoch == epoch && strcmp(rows->rows[i].sliver, sliver) == 0) return true;
    return false;
}

/* One spec file. What cannot be read is left alone: it is no reason for the agent not to start. */
static int adopt_one(struct agent *a, const struct sliver_rows *rows, const char *sliver,
                     const char *path, struct err *err) {
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    struct sliver_paths paths AUTO_PATHS = { NULL };
    struct err odd = ERR_INIT;
    json *document AUTO_JSON = json_parse_file(path, &odd);
    if (!document || spec_read(document, &spec, &odd) || strcmp(spec.sliver, sliver) != 0) {
        log_warn("a sliver's spec cannot be read", "path=%s cause=\"%s\"", path, odd.msg);
        return 0;
    }
    sliver_paths(a, &spec, &paths);
    if (has_row(rows, sliver, spec.epoch) || access(paths.disk, F_OK) != 0) return 0;
    struct fence_mark mark = { .epoch = spec.epoch };
    memcpy(mark.sliver, spec.sliver, sizeof mark.sliver);
    if (fence_learn(a->db, &mark, 1, err) || sliver_row_put(a->db, &spec, false, err)) return -1;
    log_info("sliver adopted from its files", "sliver=%s epoch=%lld", spec.sliver,
             (long long)spec.epoch);
    return 0;
}

static int adopt_directory(struct agent *a, const struct sliver_rows *rows, const char *sliver,
                           struct err *err) {
    char *path AUTO_FREE = xasprintf("%s/slivers/%s", a->config->base.state_dir, sliver);
    DIR *d AUTO_DIRECTORY = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        long long epoch;
        int end = 0;
        if (sscanf(e->d_name, "spec-e%lld.json%n", &epoch, &end) != 1 || !end || e->d_name[end])
            continue;
        char *file AUTO_FREE = xasprintf("%s/%s", path, e->d_name);
        if (adopt_one(a, rows, sliver, file, err)) return -1;
    }
    return 0;
}

/* Rows of an agent that wrote no such files yet. */
static int note_rows(struct agent *a, const struct sliver_rows *rows, struct err *err) {
    for (size_t i = 0; i < rows->count; i++) {
        struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
        struct sliver_paths paths AUTO_PATHS = { NULL };
        if (spec_read(rows->rows[i].document, &spec, err)) return -1;
        sliver_paths(a, &spec, &paths);
        if (access(paths.disk, F_OK) == 0 && sliver_parts_note(a, &spec, err)) return -1;
    }
    return 0;
}

int adopt_files(struct agent *a, struct err *err) {
    struct sliver_rows rows AUTO_ROWS = { NULL, 0 };
    char *path AUTO_FREE = xasprintf("%s/slivers", a->config->base.state_dir);
    if (sliver_rows_read(a->db, NULL, &rows, err) || note_rows(a, &rows, err)) return -1;
    DIR *d AUTO_DIRECTORY = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (uuid_valid(e->d_name) && adopt_directory(a, &rows, e->d_name, err)) return -1;
    return 0;
}

/* --- fences from what runs --- */

struct marks {
    struct fence_mark *list;
    size_t count;
};

static void marks_done(struct marks *m) { free(m->list); }

static void marks_add(struct marks *m, const char *sliver, int64_t epoch) {
    if (!uuid_valid(sliver) || epoch < 1) return;
    m->list = xrealloc_array(m->list, m->count + 1, sizeof *m->list);
    m->list[m->count].epoch = epoch;
    memcpy(m->list[m->count++].sliver, sliver, UUID_TEXT_BYTES);
}

static int mark_domains(struct agent *a, struct marks *m, struct err *err) {
    struct domain_survey *list AUTO_FREE = NULL;
    size_t count;
    if (hypervisor_survey(a->hypervisor, &list, &count, err)) return -1;
    for (size_t i = 0; i < count; i++) marks_add(m, list[i].sliver, list[i].epoch);
    return 0;
}

static int mark_ports(struct agent *a, struct marks *m, struct err *err) {
    struct switch_port *ports AUTO_FREE = NULL;
    size_t count;
    if (switch_list_ports(a->bridge, &ports, &count, SWITCH_MS, err)) return -1;
    for (size_t i = 0; i < count; i++) marks_add(m, ports[i].sliver, (int64_t)ports[i].epoch);
    return 0;
}

int adopt_fences(struct agent *a, struct err *err) {
    struct marks marks CLEANUP(marks_done) = { NULL, 0 };
    struct err second = ERR_INIT;
    int failed = mark_domains(a, &marks, err);
    failed |= mark_ports(a, &marks, failed ? &second : err);
    if (fence_learn(a->db, marks.list, marks.count, failed ? &second : err)) return -1;
    return failed ? -1 : 0;
}
