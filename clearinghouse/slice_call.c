#include "slice_call.h"

#include "answer.h"
#include "member_db.h"

json *slice_json(struct db_conn *c, const struct slice *s, struct err *err) {
    json *members = member_db_of_slice(c, s->id, err);
    if (!members) return NULL;
    json *j = json_object();
    json_set_str(j, "uuid", s->uuid);
    json_set_str(j, "urn", s->urn);
    json_set_str(j, "project", s->project);
    json_set_str(j, "name", s->name);
    json_set_str(j, "description", s->description);
    json_set_str(j, "state", slice_state_name(s->state));
    json_set_str(j, "creator", s->creator);
    answer_set_time(j, "created", s->created_ms);
    answer_set_time(j, "expires", s->expires_ms);
    return json_set(j, "members", members);
}

int slice_call_open(struct db_conn *c, struct slice_call *call, enum access_right right,
                    struct err *err) {
    const struct http_request *req = call->req;
    const char *key = req->params[0];
    struct slice *s = &call->slice;
    if (slice_db_find(c, call->house->authority.name, key, s, err) != 0 ||
        access_slice(c, req, s->id, s->project, key, right, call->role, err) != 0)
        return -1;
    if (strcmp(req->method, "GET") == 0) return 0;
    return answer_check_match(req, s->version, err);
}

int slice_call_show(struct db_conn *c, struct slice_call *call, struct err *err) {
    call->shown = slice_json(c, &call->slice, err);
    return call->shown ? 0 : -1;
}

int slice_call_write(struct slice_call *call, db_fn fn, unsigned status, struct http_reply *reply,
                     struct err *err) {
    if (slice_settle(call->house, err) != 0) return -1;
    if (db_write(call->house->db, fn, call, err) == 0)
        return answer_with(reply, status, call->shown, call->slice.version);
    json_put(call->shown);
    return -1;
}
