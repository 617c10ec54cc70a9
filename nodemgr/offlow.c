#include "nodemgr/offlow.h"

#include "nodemgr/ofwire.h"

#include <assert.h>

#define INSTRUCTIONS_PER_FLOW_MAX 8

void of_flow_init(struct of_flow *f, uint64_t cookie, uint8_t table, uint16_t priority) {
    *f = (struct of_flow){ .cookie = cookie, .table = table, .priority = priority };
}

void of_flow_done(struct of_flow *f) {
    if (!f) return;
    buf_done(&f->match);
    buf_done(&f->instructions);
}

void of_flow_copy(struct of_flow *to, const struct of_flow *from) {
    of_flow_init(to, from->cookie, from->table, from->priority);
    buf_add(&to->match, from->match.data, from->match.length);
    buf_add(&to->instructions, from->instructions.data, from->instructions.length);
}

void of_flows_free(struct of_flow *flows, size_t count) {
    for (size_t i = 0; flows && i < count; i++) of_flow_done(&flows[i]);
    free(flows);
}

void of_match(struct of_flow *f, enum of_field field, uint64_t value) {
    of_oxm_put_number(&f->match, field, value, UINT64_MAX);
}

void of_match_masked(struct of_flow *f, enum of_field field, uint64_t value, uint64_t mask) {
    of_oxm_put_number(&f->match, field, value, mask);
}

void of_match_bytes(struct of_flow *f, enum of_field field, const void *value) {
    of_oxm_put(&f->match, field, value, NULL);
}

void of_goto(struct of_flow *f, uint8_t table) {
    wire_u16(&f->instructions, OFPIT_GOTO_TABLE);
    wire_u16(&f->instructions, 8);
    wire_u8(&f->instructions, table);
    wire_zeros(&f->instructions, 3);
}

void of_write_metadata(struct of_flow *f, uint64_t value, uint64_t mask) {
    wire_u16(&f->instructions, OFPIT_WRITE_METADATA);
    wire_u16(&f->instructions, 24);
    wire_zeros(&f->instructions, 4);
    wire_u64(&f->instructions, value & mask);
    wire_u64(&f->instructions, mask);
}

void of_meter(struct of_flow *f, uint32_t meter) {
    wire_u16(&f->instructions, OFPIT_METER);
    wire_u16(&f->instructions, 8);
    wire_u32(&f->instructions, meter);
}

void of_apply_actions(struct of_flow *f, const struct buf *actions) {
    if (actions->length == 0) return;
    /* A length beyond the field is refused by of_flow_finish(), which sees the real one. */
    wire_u16(&f->instructions, OFPIT_APPLY_ACTIONS);
    wire_u16(&f->instructions, (uint16_t)(8 + actions->length));
    wire_zeros(&f->instructions, 4);
    buf_add(&f->instructions, actions->data, actions->length);
}

void of_action_output(struct buf *actions, uint32_t port) {
    wire_u16(actions, OFPAT_OUTPUT);
    wire_u16(actions, 16);
    wire_u32(actions, port);
    wire_u16(actions, 0); /* max_len: only for the controller port */
    wire_zeros(actions, 6);
}

void of_action_set(struct buf *actions, enum of_field field, uint64_t value) {
    AUTO_BUF struct buf oxm = BUF_INIT;
    of_oxm_put_number(&oxm, field, value, UINT64_MAX);
    size_t length = (4 + oxm.length + 7) / 8 * 8;
    wire_u16(actions, OFPAT_SET_FIELD);
    wire_u16(actions, (uint16_t)length);
    buf_add(actions, oxm.data, oxm.length);
    wire_zeros(actions, length - 4 - oxm.length);
}

/* In this action Open vSwitch tells fields back by their older, NXM names, whatever it was told. */
static uint32_t nxm_header(enum of_field field) {
    static const struct {
        enum of_field field;
        uint32_t header;
    } names[] = {
        { OF_ETH_DST, 0x00000206 }, { OF_ETH_SRC, 0x00000406 }, { OF_ARP_SPA, 0x00002004 },
        { OF_ARP_TPA, 0x00002204 }, { OF_ARP_SHA, 0x00012206 }, { OF_ARP_THA, 0x00012406 },
    };
    size_t i = 0;
    while (names[i].field != field && i + 1 < COUNT_OF(names)) i++;
    assert(names[i].field == field);
    return names[i].header;
}

void of_action_move(struct buf *actions, enum of_field from, enum of_field to) {
    assert(of_field_info(from)->length == of_field_info(to)->length);
    wire_u16(actions, OFPAT_EXPERIMENTER);
    wire_u16(actions, 24);
    wire_u32(actions, NX_VENDOR);
    wire_u16(actions, NXAST_REG_MOVE);
    wire_u16(actions, (uint16_t)(8 * of_field_info(from)->length)); /* bits */
    wire_u16(actions, 0);                                           /* offsets */
    wire_u16(actions, 0);
    wire_u32(actions, nxm_header(from));
    wire_u32(actions, nxm_header(to));
}

void of_action_dec_ttl(struct buf *actions) {
    wire_u16(actions, OFPAT_DEC_NW_TTL);
    wire_u16(actions, 8);
    wire_zeros(actions, 4);
}

struct instruction {
    const uint8_t *data;
    uint16_t type;
    uint16_t length;
};

static int instruction_compare(const void *a, const void *b) {
    return (int)((const struct instruction *)a)->type - (int)((const struct instruction *)b)->type;
}

/* The order of instructions means nothing in OpenFlow: sort them by type. */
static int canonicalise_instructions(struct buf *list, struct err *err) {
    struct instruction found[INSTRUCTIONS_PER_FLOW_MAX];
    size_t count = 0, left = list->length;
    const uint8_t *at = (const uint8_t *)list->data;
    while (left > 0) {
        uint16_t length = left < 8 ? 0 : wire_get_u16(at + 2);
        if (length < 8 || length > left || count == INSTRUCTIONS_PER_FLOW_MAX)
            return err_set(err, ERR_INVALID, "malformed instructions");
        found[count++] = (struct instruction){ at, wire_get_u16(at), length };
        at += length;
        left -= length;
    }
    qsort(found, count, sizeof(found[0]), instruction_compare);
    AUTO_BUF struct buf out = BUF_INIT;
    for (size_t i = 0; i < count; i++) buf_add(&out, found[i].data, found[i].length);
    struct buf old = *list;
    *list = out;
    out = old;
    return 0;
}

int of_flow_finish(struct of_flow *f, struct err *err) {
    if (f->instructions.length > OF_INSTRUCTIONS_MAX)
        return err_set(err, ERR_TOO_LARGE, "a flow of %zu bytes does not fit into one message",
                       f->instructions.length);
    if (of_oxm_canonicalise(&f->match, err)) return -1;
    return canonicalise_instructions(&f->instructions, err);
}

static int buf_compare(const struct buf *a, const struct buf *b) {
    size_t common = a->length < b->length ? a->length : b->length;
    int c = common == 0 ? 0 : memcmp(a->data, b->data, common);
    return c != 0 ? c : (a->length > b->length) - (a->length < b->length);
}

int of_flow_compare(const struct of_flow *a, const struct of_flow *b) {
    if (a->table != b->table) return a->table < b->table ? -1 : 1;
    if (a->priority != b->priority) return a->priority < b->priority ? -1 : 1;
    return buf_compare(&a->match, &b->match);
}

bool of_flow_same(const struct of_flow *a, const struct of_flow *b) {
    return a->cookie == b->cookie && of_flow_compare(a, b) == 0 &&
           buf_compare(&a->instructions, &b->instructions) == 0;
}

void of_flow_print(const struct of_flow *f, struct buf *text) {
    buf_printf(text, "table=%u priority=%u cookie=0x%016llx ", f->table, f->priority,
               (unsigned long long)f->cookie);
    of_oxm_print(&f->match, text);
    if (f->instructions.length == 0) buf_puts(text, " drop");
}
