#include "sim_faults.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#define LATE_MAX 64

const char *const fault_names[FAULT_KINDS_] = {
    "none", "kill before", "kill after", "unreachable", "reply lost", "twice", "error", "late",
    "kill and late", "again, late", "partition", "one way", "freeze", "agent restarted", "cancelled" };

struct late {
    int due; /* 0: empty */
    char node[64], method[8], path[200], body[8192];
};

struct faults {
    struct sim *sim;
    struct { enum fault_kind kind; int nth, length, victim; } plan[FAULTS_MAX];
    int planned, calls;
    bool healed;
    uint64_t trace;
    struct late late[LATE_MAX];
};

bool fault_has_victim(enum fault_kind kind) { return kind >= FAULT_PARTITION && kind <= FAULT_AGENT_RESTART; }

bool faults_cancelled(const struct faults *f) {
    for (int i = 0; i < f->planned; i++)
        if (f->plan[i].kind == FAULT_CANCEL && f->calls >= f->plan[i].nth) return true;
    return false;
}

struct faults *faults_new(struct sim *sim) {
    struct faults *f = mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (f == MAP_FAILED) abort();
    f->sim = sim;
    f->trace = 1469598103934665603u;
    return f;
}

void faults_free(struct faults *f) { munmap(f, sizeof *f); }
int faults_calls(const struct faults *f) { return f->calls; }
uint64_t faults_trace(const struct faults *f) { return f->trace; }

void faults_plan(struct faults *f, enum fault_kind kind, int nth, int length, int victim) {
    if (f->planned == FAULTS_MAX) abort();
    f->plan[f->planned].kind = kind;
    f->plan[f->planned].nth = nth;
    f->plan[f->planned].length = length;
    f->plan[f->planned++].victim = victim;
}

static void note(struct faults *f, const char *text) {
    for (const char *c = text; *c; c++) f->trace = (f->trace ^ (unsigned char)*c) * 1099511628211u;
}

/* Not the ids and times, which are new in each run. */
static void note_call(struct faults *f, const struct node *to, const char *method, const char *path,
                      const char *outcome) {
    const char *verb = strrchr(path, '/');
    note(f, to->name);
    note(f, method);
    note(f, strlen(verb) > 30 ? "id" : verb);
    note(f, outcome);
}

static json *deliver(struct faults *f, const char *node, const char *method, const char *path,
                     const json *body, struct err *err) {
    struct agents *inner = sim_agents(f->sim);
    struct node to = { 0 };
    snprintf(to.name, sizeof to.name, "%s", node);
    json *answer = inner->call(inner->ctx, &to, method, path, body, 0, err);
    free(inner);
    return answer;
}

static void keep(struct faults *f, int due, const struct node *to, const char *method,
                 const char *path, const json *body) {
    char *text AUTO_FREE = body ? json_text(body) : NULL;
    for (size_t i = 0; i < LATE_MAX; i++) {
        struct late *l = &f->late[i];
        if (l->due) continue;
        if (text && strlen(text) >= sizeof l->body) abort();
        snprintf(l->node, sizeof l->node, "%s", to->name);
        snprintf(l->method, sizeof l->method, "%s", method);
        snprintf(l->path, sizeof l->path, "%s", path);
        snprintf(l->body, sizeof l->body, "%s", text ? text : "");
        l->due = due;
        return;
    }
    abort();
}

static void arrive(struct faults *f, int now) {
    for (size_t i = 0; i < LATE_MAX; i++) {
        struct late *l = &f->late[i];
        if (!l->due || l->due > now) continue;
        struct err ignored = ERR_INIT;
        l->due = 0;
        json *body AUTO_JSON = l->body[0] ? json_parse(l->body, strlen(l->body), NULL) : NULL;
        json *nobody AUTO_JSON = deliver(f, l->node, l->method, l->path, body, &ignored);
    }
}

void faults_heal(struct faults *f) {
    f->healed = true;
    arrive(f, INT32_MAX);
}

static json *timed_out(const struct node *to, struct err *err) {
    err_set(err, ERR_TIMEOUT, "%s: no answer in time", to->name);
    return NULL;
}

static json *unreachable(const struct node *to, struct err *err) {
    err_set(err, ERR_UNAVAILABLE, "%s cannot be reached", to->name);
    return NULL;
}

/* The fault that this call meets, or FAULT_NONE; due: when something late is to arrive. */
static enum fault_kind met(const struct faults *f, int now, const struct node *to, int *ret_due) {
    for (int i = 0; i < f->planned && !f->healed; i++) {
        int nth = f->plan[i].nth, length = f->plan[i].length, victim = f->plan[i].victim;
        *ret_due = nth + length;
        if (!fault_has_victim(f->plan[i].kind)) {
            if (now == nth && f->plan[i].kind != FAULT_CANCEL) return f->plan[i].kind;
        } else if (f->plan[i].kind == FAULT_AGENT_RESTART) {
            char name[16];
            snprintf(name, sizeof name, "h%d", victim);
            if (now == nth) sim_agent_restart(f->sim, name);
        } else if (now >= nth && now < nth + length && to->name[1] - '0' == victim) {
            return f->plan[i].kind;
        }
    }
    return FAULT_NONE;
}

static json *call(struct faults *f, const struct node *to, const char *method, const char *path,
                  const json *body, struct err *err) {
    int now = ++f->calls, due = 0;
    if (now > 5000) _exit(5); /* no end */
    arrive(f, now);
    enum fault_kind kind = met(f, now, to, &due);
    switch (kind) {
    case FAULT_KILL_BEFORE: kill(getpid(), SIGKILL); break;
    case FAULT_UNREACHABLE:
    case FAULT_PARTITION: return unreachable(to, err);
    case FAULT_ERROR:
        err_set(err, ERR_UNAVAILABLE, "%s: libvirtd is down", to->name);
        return NULL;
    case FAULT_LATE:
    case FAULT_FREEZE: keep(f, due, to, method, path, body); return timed_out(to, err);
    case FAULT_KILL_LATE:
        keep(f, due, to, method, path, body);
        kill(getpid(), SIGKILL);
        break;
    case FAULT_AGAIN_LATE: keep(f, due, to, method, path, body); break;
    default: break;
    }
    json *answer = deliver(f, to->name, method, path, body, err);
    if (kind == FAULT_TWICE) {
        json_put(answer);
        answer = deliver(f, to->name, method, path, body, err);
    }
    if (kind == FAULT_KILL_AFTER) kill(getpid(), SIGKILL);
    if (kind != FAULT_REPLY_LOST && kind != FAULT_ONE_WAY) return answer;
    json_put(answer);
    return timed_out(to, err);
}

/* Calls to several nodes at once come from several threads; here one after the other. */
static json *faults_call(void *ctx, const struct node *to, const char *method, const char *path,
                         const json *body, int64_t timeout_ms, struct err *err) {
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    struct faults *f = ctx;
    (void)timeout_ms;
    pthread_mutex_lock(&one);
    json *answer = call(f, to, method, path, body, err);
    note_call(f, to, method, path, answer ? "ok" : err_name(err ? err->code : 0));
    pthread_mutex_unlock(&one);
    return answer;
}

static void free_nothing(void *ctx) { (void)ctx; }

struct agents *faults_agents(struct faults *f) {
    struct agents *a = xcalloc(1, sizeof *a);
    *a = (struct agents){ .ctx = f, .call = faults_call, .free = free_nothing };
    return a;
}
