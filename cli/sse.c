#include "sse.h"

#include <stdio.h>

static void dispatch(struct sse *s) {
    if (s->data.length && !s->too_long && s->on_event) s->on_event(s->ctx, s->event, s->data.data);
    s->data.length = 0;
    s->event[0] = '\0';
    s->too_long = false;
}

static bool field(const char *line, const char *name, const char **ret_value) {
    size_t n = strlen(name);
    if (strncmp(line, name, n) || (line[n] && line[n] != ':')) return false;
    *ret_value = line + n + (line[n] == ':');
    if (**ret_value == ' ') ++*ret_value;
    return true;
}

static void take_line(struct sse *s) {
    const char *line = s->line.length ? s->line.data : "", *value;
    if (!*line) dispatch(s);
    else if (field(line, "id", &value)) snprintf(s->id, sizeof s->id, "%s", value);
    else if (field(line, "event", &value)) snprintf(s->event, sizeof s->event, "%s", value);
    else if (field(line, "data", &value)) {
        if (s->data.length + strlen(value) > SSE_EVENT_MAX_BYTES) s->too_long = true;
        else buf_printf(&s->data, "%s%s", s->data.length ? "\n" : "", value);
    }
    s->line.length = 0;
}

void sse_feed(struct sse *s, const char *data, size_t length) {
    for (size_t i = 0; i < length; i++) {
        char c = data[i];
        bool second = c == '\n' && s->after_cr; /* of a CR LF */
        s->after_cr = c == '\r';
        if (second) continue;
        if (c == '\r' || c == '\n') take_line(s);
        else if (s->line.length < SSE_EVENT_MAX_BYTES) buf_add(&s->line, &c, 1);
        else s->too_long = true;
    }
}

void sse_reset(struct sse *s) {
    s->line.length = s->data.length = 0;
    s->event[0] = '\0';
    s->too_long = s->after_cr = false;
}

void sse_done(struct sse *s) {
    buf_done(&s->line);
    buf_done(&s->data);
}
