#include "agents.h"

#include "common/http_client.h"

#include <stdio.h>

static json *call_https(void *ctx, const struct node *to, const char *method, const char *path,
                        const json *body, int64_t timeout_ms, struct err *err) {
    char *url AUTO_FREE = xasprintf("https://%s:%d%s", to->host, (int)to->port, path);
    struct http_call call = {
        .method = method,
        .url = url,
        .peer_urn = to->urn,
        .body = body,
        .timeout_ms = timeout_ms,
    };
    struct http_answer answer AUTO_ANSWER = { 0 };
    if (http_call(ctx, &call, &answer, err)) {
        err_wrap(err, "node %s", to->name);
        return NULL;
    }
    return answer.body ? STEAL(answer.body) : json_object();
}

static void free_https(void *ctx) { http_client_free(ctx); }

struct agents *agents_new(const struct identity *identity, struct err *err) {
    struct http_client *client = http_client_new(
        &(struct http_client_options){ .key_pem = identity->key_pem,
                                       .cert_pem = identity->cert_pem,
                                       .ca_pem = identity->ca_pem,
                                       .user_agent = "jogak-aggregate/" JOGAK_VERSION },
        err);
    if (!client) return NULL;
    struct agents *a = xcalloc(1, sizeof *a);
    *a = (struct agents){ .ctx = client, .call = call_https, .free = free_https };
    return a;
}

void agents_free(struct agents *a) {
    if (!a) return;
    a->free(a->ctx);
    free(a);
}

static json *call_node(struct aggregate *am, const char *name, const char *method,
                       const char *path, const json *body, int64_t timeout_ms, struct err *err) {
    struct node node AUTO_NODE = { 0 };
    if (node_find(am, name, &node, err)) return NULL;
    if (!node.port) {
        err_set(err, ERR_UNAVAILABLE, "node %s has never reported", name);
        err_remedy(err, "start its agent: systemctl start jogak-nodemgr");
        return NULL;
    }
    return am->agents->call(am->agents->ctx, &node, method, path, body, timeout_ms, err);
}

json *agents_call(struct aggregate *am, const char *node, const char *method, const json *body,
                  int64_t timeout_ms, struct err *err, const char *path, ...) {
    va_list ap;
    va_start(ap, path);
    char *text AUTO_FREE = xvasprintf(path, ap);
    va_end(ap);
    return call_node(am, node, method, text, body, timeout_ms, err);
}

struct task {
    struct aggregate *am;
    struct agents_each *call;
    const char *request_id;
};

static void *call_thread(void *arg) {
    struct task *t = arg;
    struct agents_each *c = t->call;
    c->answer = call_node(t->am, c->node, c->method, c->path, c->body, c->timeout_ms, &c->err);
    return NULL;
}

static bool in_turn;

void agents_call_in_turn(void) { in_turn = true; }

size_t agents_call_all(struct aggregate *am, struct agents_each *calls, size_t count) {
    pthread_t *threads AUTO_FREE = xcalloc(count, sizeof *threads);
    bool *started AUTO_FREE = xcalloc(count, sizeof *started);
    struct task *tasks AUTO_FREE = xcalloc(count, sizeof *tasks);
    /* The last one runs here: a slice on one node starts no thread at all. */
    for (size_t i = 0; i < count; i++) {
        tasks[i] = (struct task){ am, &calls[i], NULL };
        if (i + 1 < count && !in_turn)
            started[i] = pthread_create(&threads[i], NULL, call_thread, &tasks[i]) == 0;
        if (!started[i]) call_thread(&tasks[i]);
    }
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (started[i]) pthread_join(threads[i], NULL);
        if (!calls[i].answer) failed++;
    }
    return failed;
}

void agents_each_done(struct agents_each *calls, size_t count) {
    for (size_t i = 0; calls && i < count; i++) {
        json_put(calls[i].body);
        json_put(calls[i].answer);
    }
    free(calls);
}
