#include "sim_nodes.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

/* The course of a migration at one end. */
enum phase { PH_NONE, PH_CHECKED, PH_PREPARED, PH_COPYING, PH_STOPPED, PH_PINNED, PH_RELEASED,
             PH_DRAINED, PH_INCOMING, PH_ARRIVED, PH_ACTIVE, PH_DELIVERED, PH_UNDONE,
             PH_FAILED };
static const char *const phase_names[] = { "unknown", "checked", "prepared", "copying", "stopped",
                                           "pinned", "released", "drained", "incoming", "arrived",
                                           "active", "delivered", "undone", "failed" };
static const char *const state_names[] = { "absent", "incoming", "paused", "running" };

enum delivery { DIRECT, STORE, FRESH, CHECKPOINT };
static const char *const delivery_names[] = { "direct", "store", "fresh", "checkpoint" };

struct sim_node {
    char name[16];
    enum sim_state state;
    int64_t epoch, fence, generation;
    bool forwards;      /* frames for the sliver end at this node's port */
    char translates[16]; /* the sliver's public address, when this node is its gateway; "": is not */
    char migration[37]; /* "" for none */
    bool source;        /* its role there */
    enum delivery delivery;
    int64_t migration_epoch, turn;
    char forgotten[37];  /* the migration that it was last told to forget, */
    int64_t forgotten_epoch; /* up to this attempt of it */
    int manifest;       /* number of the state that it has put into the store; 0: none */
    enum phase phase;
    bool down;          /* does not answer */
    bool held;          /* its guest was stopped by the end of the lease */
    char checkpoint[37];/* the one that it knows of */
    int checkpoint_looks, checkpoint_state; /* manifest's number */
    bool hold;          /* its tap's egress is on hold */
    int polls;
};

struct sim {
    char sliver[37];
    struct sim_node nodes[SIM_NODES];
    int calls, most_running, manifests, captures;
    int fault_at, fault_count;
    enum sim_fault fault;
    int cut_at;
    char cut[16];
    char last_error[256];
};

struct sim *sim_new(const char *sliver) {
    struct sim *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) abort();
    snprintf(s->sliver, sizeof s->sliver, "%s", sliver);
    for (int i = 0; i < SIM_NODES; i++)
        snprintf(s->nodes[i].name, sizeof s->nodes[i].name, "h%d", i + 1);
    s->nodes[0].state = SIM_RUNNING;
    s->nodes[0].epoch = s->nodes[0].fence = 1;
    s->nodes[0].forwards = true;
    s->most_running = 1;
    return s;
}

void sim_free(struct sim *s) { munmap(s, sizeof *s); }

void sim_fault(struct sim *s, int nth, enum sim_fault fault, int count) {
    s->fault_at = s->calls + nth;
    s->fault = fault;
    s->fault_count = count;
}

void sim_reachable(struct sim *s, const char *node, bool reachable) {
    for (int i = 0; i < SIM_NODES; i++)
        if (strcmp(s->nodes[i].name, node) == 0) s->nodes[i].down = !reachable;
}

static void set_state(struct sim *s, struct sim_node *n, enum sim_state state);
static struct sim_node *node_named(struct sim *s, const char *name);

void sim_lose(struct sim *s, const char *node, enum sim_loss how) {
    struct sim_node *n = node_named(s, node);
    n->down = true;
    if (how == SIM_CUT_OFF) {
        n->held = n->state == SIM_RUNNING;
        if (n->held) n->state = SIM_PAUSED, n->forwards = false;
        return;
    }
    n->state = SIM_ABSENT;
    n->forwards = n->hold = n->held = false;
    n->migration[0] = n->checkpoint[0] = '\0';
    n->phase = PH_NONE;
}

void sim_return(struct sim *s, const char *node, int64_t granted) {
    struct sim_node *n = node_named(s, node);
    n->down = false;
    if (n->held && n->state == SIM_PAUSED && n->epoch == granted) set_state(s, n, SIM_RUNNING);
    n->held = false;
}

int sim_states(const struct sim *s) { return s->manifests; }
void sim_add_state(struct sim *s) { s->manifests++; }
int sim_captures(const struct sim *s) { return s->captures; }

void sim_cut(struct sim *s, int nth, const char *node) {
    s->cut_at = s->calls + nth;
    snprintf(s->cut, sizeof s->cut, "%s", node);
}

int sim_calls(const struct sim *s) { return s->calls; }

static struct sim_node *node_named(struct sim *s, const char *name) {
    for (int i = 0; i < SIM_NODES; i++)
        if (strcmp(s->nodes[i].name, name) == 0) return &s->nodes[i];
    return NULL;
}

static const struct sim_node *look(const struct sim *s, const char *name) {
    return node_named((struct sim *)(uintptr_t)s, name);
}

enum sim_state sim_state(const struct sim *s, const char *node) { return look(s, node)->state; }
int64_t sim_epoch(const struct sim *s, const char *node) { return look(s, node)->epoch; }
int sim_most_running(const struct sim *s) { return s->most_running; }
const char *sim_last_error(const struct sim *s) { return s->last_error; }

int sim_running(const struct sim *s) {
    int n = 0;
    for (int i = 0; i < SIM_NODES; i++) n += s->nodes[i].state == SIM_RUNNING;
    return n;
}

const char *sim_translates(const struct sim *s, const char *node) {
    for (int i = 0; i < SIM_NODES; i++)
        if (strcmp(s->nodes[i].name, node) == 0) return s->nodes[i].translates;
    return "";
}

int sim_forwarders(const struct sim *s) {
    int n = 0;
    for (int i = 0; i < SIM_NODES; i++) n += s->nodes[i].forwards;
    return n;
}

int sim_leaks(const struct sim *s) {
    int n = 0;
    for (int i = 0; i < SIM_NODES; i++) {
        const struct sim_node *h = &s->nodes[i];
        n += h->migration[0] != 0;
        n += h->hold;
        n += h->state == SIM_INCOMING || h->state == SIM_PAUSED;
    }
    return n;
}

static void set_state(struct sim *s, struct sim_node *n, enum sim_state state) {
    n->state = state;
    if (sim_running(s) > s->most_running) s->most_running = sim_running(s);
}

static json *sliver_json_of(const struct sim *s, const struct sim_node *n) {
    json *j = json_set_str(json_object(), "sliver", s->sliver);
    json_set_int(j, "epoch", n->epoch);
    return json_set_str(j, "state", state_names[n->state]);
}

static json *migration_state(const struct sim *s, struct sim_node *n) {
    json *j = json_set_str(json_object(), "phase", phase_names[n->phase]);
    json_set_int(j, "sequence", n->polls++);
    json_set_int(j, "bytes_done", 1000);
    if (n->manifest) {
        char text[24];
        snprintf(text, sizeof text, "state-%d", n->manifest);
        json_set_str(j, "manifest", text);
    }
    return json_set(j, "sliver", sliver_json_of(s, n));
}

static struct sim_node *other_end(struct sim *s, const struct sim_node *n) {
    for (int i = 0; i < SIM_NODES; i++)
        if (&s->nodes[i] != n && n->migration[0] &&
            strcmp(s->nodes[i].migration, n->migration) == 0)
            return &s->nodes[i];
    return NULL;
}

static int conflict(struct err *err, const struct sim_node *n, const char *verb) {
    return err_set(err, ERR_CONFLICT, "%s: cannot %s in phase %s", n->name, verb,
                   phase_names[n->phase]);
}

/* libvirt at work: each look at the source moves the copy on by one. */
static void source_goes_on(struct sim *s, struct sim_node *source) {
    if (source->delivery == STORE && source->phase == PH_STOPPED && source->polls >= 6 &&
        !source->manifest)
        source->manifest = ++s->manifests;
    if (source->phase != PH_COPYING || source->delivery == FRESH || source->polls < 3) return;
    struct sim_node *target = other_end(s, source);
    if (source->delivery == DIRECT && !target) return;
    if (source->delivery == DIRECT && target->down) {
        source->phase = PH_FAILED; /* libvirt's stream broke; its guest runs on */
        return;
    }
    set_state(s, source, SIM_PAUSED);
    source->phase = PH_STOPPED;
    if (source->delivery != DIRECT) return;
    target->state = SIM_PAUSED;
    target->phase = PH_ARRIVED;
}

static void copy_goes_on(struct sim *s, struct sim_node *n) {
    if (n->source) source_goes_on(s, n);
    else if (n->delivery != DIRECT && n->phase == PH_INCOMING && n->polls >= 2) {
        n->phase = PH_ARRIVED;
        n->state = SIM_PAUSED;
    }
}

/* As source_reconcile() and target_reconcile() of the real agent do it. */
void sim_agent_restart(struct sim *s, const char *name) {
    struct sim_node *n = node_named(s, name), *other = other_end(s, n);
    if (!n->migration[0] || n->phase <= PH_CHECKED || n->phase == PH_UNDONE) return;
    if (!n->source) {
        if (n->phase == PH_DELIVERED || n->phase == PH_ACTIVE) return;
        if (n->state == SIM_RUNNING) n->phase = PH_ACTIVE;
        else if (n->state == SIM_PAUSED) n->phase = PH_ARRIVED;
        else n->phase = PH_FAILED;
        return;
    }
    if (n->state == SIM_ABSENT) {
        if (n->phase < PH_RELEASED) n->phase = PH_RELEASED;
        return;
    }
    if (n->phase == PH_COPYING && n->delivery == DIRECT && other) { /* libvirt's tunnel went with it */
        other->state = SIM_ABSENT;
        other->phase = PH_FAILED;
    }
    n->phase = PH_FAILED;
}

static int undo_source(struct sim *s, struct sim_node *n, struct err *err) {
    struct sim_node *target = other_end(s, n);
    if (n->phase >= PH_RELEASED && n->phase <= PH_DRAINED) return conflict(err, n, "undo");
    if (n->delivery == DIRECT && n->phase >= PH_STOPPED && n->phase <= PH_PINNED && target &&
        target->phase >= PH_ARRIVED)
        return conflict(err, n, "undo");
    if (n->delivery == DIRECT && n->phase == PH_COPYING && target && target->state == SIM_INCOMING)
        set_state(s, target, SIM_ABSENT); /* libvirt cleans its target when the source aborts */
    if (n->state == SIM_PAUSED) set_state(s, n, SIM_RUNNING);
    n->manifest = 0;
    n->phase = PH_UNDONE;
    return 0;
}

static int undo_target(struct sim *s, struct sim_node *n) {
    set_state(s, n, SIM_ABSENT);
    n->hold = false;
    n->phase = PH_UNDONE;
    return 0;
}

static int source_verb(struct sim *s, struct sim_node *n, const char *verb, struct err *err) {
    if (!strcmp(verb, "prepare")) {
        if (n->phase < PH_PREPARED) n->phase = PH_PREPARED;
    } else if (!strcmp(verb, "copy")) {
        if (n->phase < PH_PREPARED || n->phase > PH_PINNED) return conflict(err, n, verb);
        struct sim_node *target = other_end(s, n);
        if (n->phase == PH_PREPARED) {
            n->phase = PH_COPYING;
            n->polls = 0;
            if (target && n->delivery == DIRECT)
                target->state = SIM_INCOMING, target->phase = PH_INCOMING;
        }
    } else if (!strcmp(verb, "stop")) {
        copy_goes_on(s, n);
        if (n->delivery == FRESH && n->phase == PH_COPYING)
            set_state(s, n, SIM_PAUSED), n->phase = PH_STOPPED;
        if (n->phase != PH_STOPPED && n->phase != PH_PINNED) return conflict(err, n, verb);
    } else if (!strcmp(verb, "confirm")) {
        if (n->phase != PH_STOPPED && n->phase != PH_PINNED) return conflict(err, n, verb);
        n->phase = PH_PINNED;
    } else if (!strcmp(verb, "release")) {
        if (n->phase < PH_PINNED) return conflict(err, n, verb);
        set_state(s, n, SIM_ABSENT);
        if (n->phase < PH_RELEASED) n->phase = PH_RELEASED;
    } else if (!strcmp(verb, "drain")) {
        if (n->phase < PH_RELEASED) return conflict(err, n, verb);
        n->phase = PH_DRAINED;
        n->forwards = false; /* its port is removed */
    } else if (!strcmp(verb, "undo")) {
        return undo_source(s, n, err);
    }
    return 0;
}

/* Only a state that is in the store can be fetched. */
static int fetch_verb(struct sim *s, struct sim_node *n, const json *body, struct err *err) {
    const char *manifest = json_get_str(body, "manifest");
    int number = 0;
    if (n->delivery == DIRECT) return conflict(err, n, "fetch");
    if (n->delivery != FRESH && (!manifest || sscanf(manifest, "state-%d", &number) != 1 ||
                                 number < 1 || number > s->manifests))
        return err_set(err, ERR_NOT_FOUND, "%s: there is no such state in the store", n->name);
    if (n->phase != PH_PREPARED) return n->phase < PH_INCOMING ? conflict(err, n, "fetch") : 0;
    n->phase = PH_INCOMING;
    n->state = SIM_INCOMING;
    n->polls = 0;
    return 0;
}

static int target_verb(struct sim *s, struct sim_node *n, const char *verb, const json *body,
                       struct err *err) {
    if (!strcmp(verb, "fetch")) return fetch_verb(s, n, body, err);
    if (!strcmp(verb, "prepare")) {
        if (n->phase < PH_PREPARED) n->phase = PH_PREPARED, n->hold = true;
    } else if (!strcmp(verb, "confirm") || !strcmp(verb, "release")) {
        if (n->phase < PH_ARRIVED || n->phase == PH_UNDONE) return conflict(err, n, verb);
    } else if (!strcmp(verb, "activate")) {
        if (n->phase < PH_ARRIVED || n->phase == PH_UNDONE) return conflict(err, n, verb);
        set_state(s, n, SIM_RUNNING);
        if (n->phase < PH_ACTIVE) n->phase = PH_ACTIVE;
    } else if (!strcmp(verb, "deliver")) {
        if (n->phase < PH_ACTIVE || n->phase == PH_UNDONE) return conflict(err, n, verb);
        n->hold = false;
        n->phase = PH_DELIVERED;
    } else if (!strcmp(verb, "undo")) {
        return undo_target(s, n);
    }
    return 0;
}

static int check_epoch(struct sim_node *n, const json *body, struct err *err) {
    int64_t epoch = json_get_int(body, "epoch", 0);
    if (epoch < n->fence)
        return err_set(err, ERR_STALE_EPOCH, "%s: epoch %lld is older than %lld", n->name,
                       (long long)epoch, (long long)n->fence);
    return 0;
}

static enum delivery delivery_of(const json *body) {
    const char *name = json_get_str(body, "delivery");
    for (size_t i = 0; name && i < COUNT_OF(delivery_names); i++)
        if (strcmp(delivery_names[i], name) == 0) return (enum delivery)i;
    return DIRECT;
}

static json *migration_call(struct sim *s, struct sim_node *n, const char *method,
                            const char *rest, const json *body, struct err *err) {
    char id[37];
    snprintf(id, sizeof id, "%.36s", rest);
    const char *verb = rest[36] == '/' ? rest + 37 : "";
    bool mine = strcmp(n->migration, id) == 0;
    if (!strcmp(method, "GET")) {
        if (mine) copy_goes_on(s, n);
        if (mine) return migration_state(s, n);
        struct sim_node nobody = *n;
        nobody.phase = PH_NONE;
        return migration_state(s, &nobody);
    }
    if (!strcmp(method, "DELETE")) {
        const char *at = strstr(rest, "epoch=");
        snprintf(n->forgotten, sizeof n->forgotten, "%s", id);
        n->forgotten_epoch = at ? strtoll(at + 6, NULL, 10) : 0;
        if (mine) n->migration[0] = '\0', n->phase = PH_NONE;
        return json_object();
    }
    if (!strcmp(method, "PUT")) {
        bool target = strcmp(json_get_str(body, "role"), "target") == 0;
        if (!strcmp(n->forgotten, id) && json_get_int(body, "epoch", 0) <= n->forgotten_epoch) {
            err_set(err, ERR_STALE_EPOCH, "%s was told to forget it", n->name);
            return NULL;
        }
        if (target && check_epoch(n, body, err)) return NULL;
        if (target && !mine && json_get_int(body, "epoch", 0) == n->fence) {
            err_set(err, ERR_STALE_EPOCH, "%s has seen this epoch", n->name);
            return NULL;
        }
        if (!mine) {
            snprintf(n->migration, sizeof n->migration, "%s", id);
            n->phase = PH_CHECKED;
            n->polls = n->manifest = 0;
            n->turn = 0;
            n->source = !target;
            n->delivery = delivery_of(body);
            n->migration_epoch = json_get_int(body, "epoch", 0);
        }
        if (target) n->fence = n->epoch = json_get_int(body, "epoch", 0);
        return json_object();
    }
    if (!mine && strcmp(verb, "undo")) {
        err_set(err, ERR_NOT_FOUND, "%s knows nothing of this migration", n->name);
        return NULL;
    }
    if (!mine) return json_object();
    if (json_get_int(body, "epoch", 0) != n->migration_epoch) {
        err_set(err, ERR_STALE_EPOCH, "%s: this is another attempt", n->name);
        return NULL;
    }
    if (json_get_int(body, "turn", 0) < n->turn) {
        err_set(err, ERR_STALE_EPOCH, "%s: the migration has turned since", n->name);
        return NULL;
    }
    n->turn = json_get_int(body, "turn", 0);
    if (n->source ? source_verb(s, n, verb, err) : target_verb(s, n, verb, body, err)) return NULL;
    return migration_state(s, n);
}

static json *forwarding_call(struct sim *s, struct sim_node *n, const json *body, struct err *err) {
    int64_t generation = json_get_int(body, "generation", 0);
    if (generation < n->generation) {
        err_set(err, ERR_STALE_EPOCH, "generation %lld is old", (long long)generation);
        return NULL;
    }
    n->generation = generation;
    n->forwards = false;
    n->translates[0] = '\0';
    const json *links = json_get(body, "links");
    for (size_t i = 0; i < json_length(links); i++) {
        const json *vnics = json_get(json_at(links, i), "vnics");
        for (size_t k = 0; k < json_length(vnics); k++) {
            const json *v = json_at(vnics, k);
            const char *node = strrchr(json_get_str(v, "node"), '+');
            if (!strcmp(json_get_str(v, "sliver"), s->sliver) && !strcmp(node + 1, n->name))
                n->forwards = true;
            const char *gateway = json_str(json_path(v, "public.gateway"));
            if (gateway && !strcmp(strrchr(gateway, '+') + 1, n->name))
                snprintf(n->translates, sizeof n->translates, "%s", json_str(json_path(v, "public.address")));
        }
    }
    return json_object();
}

/* Removes everything up to that epoch, and remembers that it is not to come again. */
static json *remove_call(struct sim *s, struct sim_node *n, const char *path) {
    const char *at = strstr(path, "epoch=");
    int64_t epoch = at ? strtoll(at + 6, NULL, 10) : 0;
    if (n->epoch <= epoch) {
        set_state(s, n, SIM_ABSENT);
        n->forwards = n->hold = false;
    }
    if (n->fence < epoch) n->fence = epoch;
    return json_object();
}

/* Each look moves it on by one: capturing, uploading, complete. */
static json *checkpoint_json(struct sim *s, struct sim_node *n, const char *id) {
    static const char *const states[] = { "capturing", "uploading", "complete" };
    int at = n->checkpoint_looks > 2 ? 2 : n->checkpoint_looks;
    json *j = json_set_str(json_object(), "checkpoint", id);
    json_set_str(j, "sliver", s->sliver);
    json_set_int(j, "epoch", n->epoch);
    json_set_str(j, "state", states[at]);
    json_set_int(j, "bytes_total", 1 << 20);
    json_set_int(j, "bytes_new", at == 2 ? 4096 : 0);
    if (at < 2) return j;
    if (!n->checkpoint_state) n->checkpoint_state = ++s->manifests;
    char text[24];
    snprintf(text, sizeof text, "state-%d", n->checkpoint_state);
    json_set_str(j, "manifest", text);
    json_set_str(j, "taken_at", "2026-01-01T00:00:00.000Z");
    return json_set_int(j, "pause_ms", 12);
}

static json *checkpoint_call(struct sim *s, struct sim_node *n, const char *method, const char *id,
                             struct err *err) {
    bool known = strncmp(n->checkpoint, id, 36) == 0;
    if (!strcmp(method, "DELETE")) {
        if (known) n->checkpoint[0] = '\0';
        return json_object();
    }
    if (!strcmp(method, "PUT") && !known) {
        if (n->state != SIM_RUNNING) {
            err_set(err, ERR_CONFLICT, "%s: the sliver does not run here", n->name);
            return NULL;
        }
        snprintf(n->checkpoint, sizeof n->checkpoint, "%.36s", id);
        n->checkpoint_looks = n->checkpoint_state = 0;
        s->captures++;
        known = true;
    }
    if (!known) {
        err_set(err, ERR_NOT_FOUND, "%s knows nothing of this checkpoint", n->name);
        return NULL;
    }
    json *j = checkpoint_json(s, n, n->checkpoint);
    n->checkpoint_looks++;
    return j;
}

static json *serve(struct sim *s, struct sim_node *n, const char *method, const char *path,
                   const json *body, struct err *err) {
    static const char migrations[] = "/v1/migrations/", slices[] = "/v1/slices/";
    if (!strncmp(path, migrations, sizeof migrations - 1))
        return migration_call(s, n, method, path + sizeof migrations - 1, body, err);
    if (!strncmp(path, slices, sizeof slices - 1)) return forwarding_call(s, n, body, err);
    if (!strncmp(path, "/v1/images/", 11))
        return json_set_str(json_object(), "state", "present");
    const char *checkpoint = strstr(path, "/checkpoints/");
    if (checkpoint) return checkpoint_call(s, n, method, checkpoint + 13, err);
    if (!strcmp(method, "DELETE")) return remove_call(s, n, path);
    return sliver_json_of(s, n);
}

static json *sim_call(void *ctx, const struct node *to, const char *method, const char *path,
                      const json *body, int64_t timeout_ms, struct err *err) {
    (void)timeout_ms;
    struct sim *s = ctx;
    struct sim_node *n = node_named(s, to->name);
    int at = ++s->calls;
    if (s->cut_at && at > s->cut_at) {
        s->cut_at = 0;
        sim_reachable(s, s->cut, false);
    }
    bool hit = s->fault && at >= s->fault_at && at < s->fault_at + s->fault_count;
    enum sim_fault fault = hit ? s->fault : SIM_NONE;
    if (fault == SIM_KILL_BEFORE) kill(getpid(), SIGKILL);
    if (fault == SIM_UNREACHABLE || n->down) {
        err_set(err, ERR_UNAVAILABLE, "%s cannot be reached", n->name);
        return NULL;
    }
    if (fault == SIM_ERROR) {
        err_set(err, ERR_UNAVAILABLE, "%s: libvirtd is down", n->name);
        return NULL;
    }
    json *answer = serve(s, n, method, path, body, err);
    if (!answer && err) snprintf(s->last_error, sizeof s->last_error, "%s %s: %.150s", method, path, err->msg);
    if (fault == SIM_TWICE) {
        json_put(answer);
        answer = serve(s, n, method, path, body, err);
    }
    if (fault == SIM_KILL_AFTER) kill(getpid(), SIGKILL);
    if (fault == SIM_REPLY_LOST) {
        json_put(answer);
        err_set(err, ERR_TIMEOUT, "%s: no answer in time", n->name);
        return NULL;
    }
    return answer;
}

static void free_nothing(void *ctx) { (void)ctx; }

struct agents *sim_agents(struct sim *s) {
    struct agents *a = xcalloc(1, sizeof *a);
    *a = (struct agents){ .ctx = s, .call = sim_call, .free = free_nothing };
    return a;
}
