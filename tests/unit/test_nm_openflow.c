/*
 * OpenFlow 1.4 on the wire, byte by byte (each golden message was read back by ovs-ofctl ofp-print
 * as the comment beside it says), canonical flows, cookies, and the plan of a link.
 */
#include "nodemgr/cookie.h"
#include "nodemgr/forwarding_plan.h"
#include "nodemgr/ofmsg.h"

#include <check.h>
#include <stdio.h>

static void expect_hex(struct buf *b, const char *hex) {
    AUTO_BUF struct buf text = BUF_INIT;
    for (size_t i = 0; i < b->length; i++) buf_printf(&text, "%02x", (uint8_t)b->data[i]);
    ck_assert_str_eq(text.data, hex);
    b->length = 0;
}

static void from_hex(const char *hex, struct buf *b) {
    unsigned byte = 0;
    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2) wire_u8(b, (uint8_t)byte);
}

static struct ofmsg message_of(const struct buf *b) {
    const uint8_t *p = (const uint8_t *)b->data;
    ck_assert_uint_eq(wire_get_u16(p + 2), b->length);
    return (struct ofmsg){ p[1], wire_get_u16(p + 2), wire_get_u32(p + 4), p };
}

/* priority=100,in_port=3 actions=set_field:0x1->reg0,write_metadata:0x64,goto_table:1 */
static void classify_flow(struct of_flow *f) {
    AUTO_BUF struct buf actions = BUF_INIT;
    of_flow_init(f, cookie_encode(COOKIE_CLASSIFY, 7, 100), 0, 100);
    of_match(f, OF_IN_PORT, 3);
    of_action_set(&actions, OF_REG0, 1);
    of_apply_actions(f, &actions);
    of_write_metadata(f, 100, UINT64_MAX);
    of_goto(f, 1);
    ck_assert_int_eq(of_flow_finish(f, NULL), 0);
}

#define CLASSIFY_MATCH "0001000c8000000400000003" "00000000"
#define CLASSIFY_INSTRUCTIONS \
    "0001000801000000" \
    "00020018000000000000000000000064ffffffffffffffff" \
    "0004001800000000" "00190010000100040000000100000000"

START_TEST(test_flow_mod) {
    AUTO_BUF struct buf b = BUF_INIT, inner = BUF_INIT;
    CLEANUP(of_flow_done) struct of_flow f;
    classify_flow(&f);
    ofmsg_flow_mod(&b, 2, OFPFC_ADD, &f);
    expect_hex(&b, "050e007800000002" "4a01000700000064" "0000000000000000" "00000000"
                   "00000064" "ffffffff" "ffffffff" "ffffffff" "00000000"
                   CLASSIFY_MATCH CLASSIFY_INSTRUCTIONS);
    ofmsg_flow_mod(&b, 3, OFPFC_DELETE_STRICT, &f);
    expect_hex(&b, "050e004000000003" "4a01000700000064" "ffffffffffffffff" "00040000"
                   "00000064" "ffffffff" "ffffffff" "ffffffff" "00000000" CLASSIFY_MATCH);
    ofmsg_flow_mod(&inner, 4, OFPFC_DELETE_STRICT, &f);
    ofmsg_bundle_add(&b, 4, 9, &inner);
    expect_hex(&b, "0522005000000004" "00000009" "0000" "0003" "050e004000000004"
                   "4a01000700000064" "ffffffffffffffff" "00040000" "00000064" "ffffffff"
                   "ffffffff" "ffffffff" "00000000" CLASSIFY_MATCH);
}
END_TEST

/* table:3 priority=100,reg0=0x1,metadata=0x64,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00
 * actions=output:2,set_field:0x64->tun_id,set_field:10.9.0.2->tun_dst,output:6 */
START_TEST(test_masks_and_tunnel_fields) {
    AUTO_BUF struct buf b = BUF_INIT, actions = BUF_INIT;
    CLEANUP(of_flow_done) struct of_flow f;
    of_flow_init(&f, cookie_encode(COOKIE_FLOOD, 0, 100), 3, 100);
    of_match_masked(&f, OF_ETH_DST, UINT64_C(0x01ff00000000), UINT64_C(0x010000000000));
    of_match(&f, OF_METADATA, 100);
    of_match(&f, OF_REG0, 1);
    of_action_output(&actions, 2);
    of_action_set(&actions, OF_TUNNEL_ID, 100);
    of_action_set(&actions, OF_TUN_DST, 0x0a090002);
    of_action_output(&actions, 6);
    of_apply_actions(&f, &actions);
    ck_assert_int_eq(of_flow_finish(&f, NULL), 0);
    ofmsg_flow_mod(&b, 7, OFPFC_ADD, &f);
    expect_hex(&b, "050e00a000000007" "4a08000000000064" "0000000000000000" "03000000"
                   "00000064" "ffffffff" "ffffffff" "ffffffff" "00000000"
                   "00010028" "0001000400000001" "800004080000000000000064"
                   "8000070c010000000000010000000000"
                   "0004004800000000" "00000010000000020000000000000000"
                   "001900108000" "4c080000000000000064"
                   "001900100001" "40040a09000200000000" "00000010000000060000000000000000");
}
END_TEST

START_TEST(test_other_messages) {
    AUTO_BUF struct buf b = BUF_INIT, actions = BUF_INIT;
    ofmsg_hello(&b, 1); /* version bitmap: 0x05 */
    expect_hex(&b, "0500001000000001" "0001000800000020");
    ofmsg_bundle_control(&b, 5, 9, OFPBCT_COMMIT_REQUEST); /* flags=atomic ordered */
    expect_hex(&b, "0521001000000005" "00000009" "0004" "0003");
    struct of_meter_config meter = { 3, 2000, 600 }; /* kbps burst, drop 2000, 600 */
    ofmsg_meter_mod(&b, 6, OFMC_ADD, &meter);
    expect_hex(&b, "051d002000000006" "0000000500000003" "00010010000007d00000025800000000");
    ofmsg_meter_mod(&b, 6, OFMC_DELETE, &meter);
    expect_hex(&b, "051d001000000006" "0002000500000003");
    of_action_output(&actions, 2);
    ofmsg_packet_out(&b, 8, OF_PORT_CONTROLLER, &actions, "\2\0\0\0\0\2\2\0\0\0\0\1\x88\xb5", 14);
    expect_hex(&b, "050d003600000008" "fffffffffffffffd0010000000000000"
                   "00000010000000020000000000000000" "02000000000202000000000188b5");
    ofmsg_flow_request(&b, 9, UINT64_C(0x4a00000000000064), UINT64_C(0xff000000ffffffff));
    expect_hex(&b, "0512003800000009" "0001000000000000" "ff000000ffffffffffffffff00000000"
                   "4a00000000000064ff000000ffffffff" "0001000400000000");
    ofmsg_meter_config_request(&b, 10);
    expect_hex(&b, "051200180000000a" "000a000000000000" "ffffffff00000000");
    ofmsg_port_desc_request(&b, 11);
    expect_hex(&b, "051200100000000b" "000d000000000000");
    ofmsg_port_stats_request(&b, 12, 2);
    expect_hex(&b, "051200180000000c" "0004000000000000" "0000000200000000");
}
END_TEST

/* A flow as the switch reports it: fields in another order, instructions too, counters. */
#define FLOW_REPLY \
    "0513008800000002" "0001000000000000" \
    "0078" "00" "00" "0000000100000002" "0064" "0000" "0000" "0000" "0000" "0000" \
    "4a01000700000064" "0000000000000005" "0000000000000280" \
    CLASSIFY_MATCH "0004001800000000" "00190010000100040000000100000000" \
    "00020018000000000000000000000064ffffffffffffffff" "0001000801000000"

START_TEST(test_read_back_is_the_same) {
    AUTO_BUF struct buf b = BUF_INIT;
    CLEANUP(of_flow_done) struct of_flow wanted, got = { .cookie = 0 };
    struct err err = ERR_INIT;
    uint16_t type = 0;
    bool more = true;
    size_t at = 0;
    classify_flow(&wanted);
    from_hex(FLOW_REPLY, &b);
    struct ofmsg m = message_of(&b);
    ck_assert_int_eq(ofmsg_multipart(&m, &type, &more, &err), 0);
    ck_assert_uint_eq(type, OFPMP_FLOW);
    ck_assert(!more);
    ck_assert_int_eq(ofmsg_next_flow(&m, &at, &got, &err), 1);
    ck_assert_int_eq(of_flow_finish(&got, &err), 0);
    ck_assert(of_flow_same(&wanted, &got));
    ck_assert_uint_eq(got.packets, 5);
    ck_assert_uint_eq(got.bytes, 640);
    ck_assert_int_eq(ofmsg_next_flow(&m, &at, &got, &err), 0);
    got.cookie++;
    ck_assert(!of_flow_same(&wanted, &got));
    ck_assert_int_eq(of_flow_compare(&wanted, &got), 0);
}
END_TEST

/* Every length field broken, every truncation: an error or fewer entries, never a wild read. */
START_TEST(test_malformed_replies) {
    AUTO_BUF struct buf whole = BUF_INIT;
    from_hex(FLOW_REPLY, &whole);
    for (size_t i = 16; i < whole.length; i++) {
        for (int value = 0; value < 256; value += 51) {
            uint8_t *copy = xmalloc(whole.length); /* exact, so that a sanitizer sees over-reads */
            memcpy(copy, whole.data, whole.length);
            copy[i] = (uint8_t)value;
            struct ofmsg m = { OFPT_MULTIPART_REPLY, (uint16_t)whole.length, 2, copy };
            struct of_flow f;
            size_t at = 0;
            while (ofmsg_next_flow(&m, &at, &f, NULL) > 0) {
                AUTO_BUF struct buf text = BUF_INIT;
                of_flow_print(&f, &text);
                of_flow_finish(&f, NULL);
                of_flow_done(&f);
            }
            free(copy);
        }
    }
    for (uint16_t length = 16; length < whole.length; length++) {
        uint8_t *copy = xmalloc(length);
        memcpy(copy, whole.data, length);
        struct ofmsg m = { OFPT_MULTIPART_REPLY, length, 2, copy };
        struct of_flow f;
        struct of_meter_config meter;
        struct of_port_desc port;
        struct of_port_stats stats;
        size_t at = 0;
        ck_assert_int_eq(ofmsg_next_flow(&m, &at, &f, NULL), length == 16 ? 0 : -1);
        for (at = 0; ofmsg_next_meter(&m, &at, &meter, NULL) > 0;) continue;
        for (at = 0; ofmsg_next_port_desc(&m, &at, &port, NULL) > 0;) continue;
        for (at = 0; ofmsg_next_port_stats(&m, &at, &stats, NULL) > 0;) continue;
        free(copy);
    }
}
END_TEST

START_TEST(test_ports_meters_errors) {
    AUTO_BUF struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    struct of_port_desc port;
    size_t at = 0;
    from_hex("0513003800000002" "000d000000000000" "00000007" "0028" "0000" "020000000001" "0000"
             "74617030000000000000000000000000" "00000000" "00000000", &b);
    struct ofmsg m = message_of(&b);
    ck_assert_int_eq(ofmsg_next_port_desc(&m, &at, &port, &err), 1);
    ck_assert_str_eq(port.name, "tap0");
    ck_assert_uint_eq(port.ofport, 7);
    struct of_meter_config meter;
    b.length = at = 0;
    from_hex("0513002800000002" "000a000000000000" "0018" "0005" "00000003"
             "00010010000007d00000025800000000", &b);
    m = message_of(&b);
    ck_assert_int_eq(ofmsg_next_meter(&m, &at, &meter, &err), 1);
    ck_assert_uint_eq(meter.id, 3);
    ck_assert_uint_eq(meter.rate_kbps, 2000);
    ck_assert_uint_eq(meter.burst_kbit, 600);
    b.length = 0;
    from_hex("0501000c00000009" "00040009", &b);
    m = message_of(&b);
    ck_assert_int_eq(ofmsg_to_err(&m, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(err.msg, "prerequisite is missing"));
}
END_TEST

START_TEST(test_canonical_match) {
    CLEANUP(of_flow_done) struct of_flow a, b;
    of_flow_init(&a, 1, 0, 1);
    of_flow_init(&b, 1, 0, 1);
    of_match(&a, OF_IN_PORT, 5);
    of_match(&a, OF_ETH_TYPE, OF_ETH_IPV4);
    of_match_masked(&a, OF_IPV4_SRC, 0x0a0000ff, 0xffffff00);
    of_match_masked(&b, OF_IPV4_SRC, 0x0a000000, 0xffffff00);
    of_match_masked(&b, OF_IPV4_DST, 0x01020304, 0); /* matches everything: left out */
    of_match_masked(&b, OF_ETH_TYPE, OF_ETH_IPV4, 0xffff);
    of_match(&b, OF_IN_PORT, 5);
    ck_assert_int_eq(of_flow_finish(&a, NULL), 0);
    ck_assert_int_eq(of_flow_finish(&b, NULL), 0);
    ck_assert(of_flow_same(&a, &b));
    AUTO_BUF struct buf text = BUF_INIT;
    of_flow_print(&a, &text);
    ck_assert_str_eq(text.data, "table=0 priority=1 cookie=0x0000000000000001 in_port=0x00000005,"
                                "eth_type=0x0800,ipv4_src=0x0a000000/0xffffff00 drop");
    buf_add(&a.match, "\x80\0\x01", 3); /* a field that ends in the middle */
    ck_assert_int_eq(of_flow_finish(&a, NULL), -1);
}
END_TEST

START_TEST(test_cookie) {
    struct cookie c;
    uint64_t cookie = cookie_encode(COOKIE_POLICE, 0x12345, 0xabcdef);
    ck_assert(cookie == UINT64_C(0x4a06234500abcdef));
    ck_assert(cookie_decode(cookie, &c));
    ck_assert_int_eq(c.kind, COOKIE_POLICE);
    ck_assert_uint_eq(c.epoch, 0x2345);
    ck_assert_uint_eq(c.link, 0xabcdef);
    ck_assert(!cookie_decode(UINT64_C(0x4b06234500abcdef), &c));
}
END_TEST

/* --- the plan of a link --- */

static struct switch_port_number numbers[] = { { "t0", 1 }, { "jogak-vx", 9 }, { "br-int",
                                                                               OF_PORT_LOCAL } };
static const struct forwarding_uplink no_uplink;
static struct port_table table = { numbers, COUNT_OF(numbers) };

static size_t flows_of(const struct flow_set *set, enum cookie_kind kind) {
    size_t n = 0;
    struct cookie c;
    for (size_t i = 0; i < set->count; i++)
        n += cookie_decode(set->flows[i].cookie, &c) && c.kind == kind;
    return n;
}

START_TEST(test_plan) {
    const char *const addresses[] = { "10.0.0.1/24", "fd00::1" };
    struct forwarding_vnic vnics[] = {
        { "a", "eth0", 1, { 2, 0, 0, 0, 0, 1 }, addresses, 2, "t0", NULL, true, 500, NULL, NULL },
        { "b", "eth0", 1, { 2, 0, 0, 0, 0, 2 }, NULL, 0, NULL, "10.9.0.2", true, 0, NULL, NULL },
        { "c", "eth0", 1, { 2, 0, 0, 0, 0, 3 }, NULL, 0, "gone", NULL, true, 0, NULL, NULL },
    };
    struct forwarding_link link = { .vni = 100, .vnics = vnics, .vnic_count = COUNT_OF(vnics) };
    struct flow_set set;
    struct err err = ERR_INIT;
    size_t missing = 0;
    port_table_sort(&table);
    ck_assert_uint_eq(port_table_find(&table, "br-int"), 0); /* reserved numbers are no ports */
    ck_assert_int_eq(forwarding_plan_link(&link, &table, &no_uplink, &set, &missing, &err), 0);
    ck_assert_uint_eq(missing, 1);
    ck_assert_uint_eq(flows_of(&set, COOKIE_CLASSIFY), 1);
    ck_assert_uint_eq(flows_of(&set, COOKIE_TUNNEL), 1);
    ck_assert_uint_eq(flows_of(&set, COOKIE_ALLOW), 2 + 1 + 2 * 2 + 4 + 1);
    ck_assert_uint_eq(flows_of(&set, COOKIE_SPOOFED), 1 + 3 + 1);
    ck_assert_uint_eq(flows_of(&set, COOKIE_UNICAST), 2);
    ck_assert_uint_eq(flows_of(&set, COOKIE_FLOOD), 2);
    ck_assert_uint_eq(set.meter_count, 1);
    ck_assert_uint_eq(set.meters[0].id, 1);
    /* The order of the vNICs means nothing. */
    struct flow_set again;
    struct forwarding_vnic turned[] = { vnics[2], vnics[1], vnics[0] };
    link.vnics = turned;
    ck_assert_int_eq(forwarding_plan_link(&link, &table, &no_uplink, &again, &missing, &err), 0);
    ck_assert_uint_eq(again.count, set.count);
    for (size_t i = 0; i < set.count; i++)
        ck_assert(of_flow_same(&set.flows[i], &again.flows[i]));
    flow_set_done(&again);
    flow_set_done(&set);
    /* Nobody here takes part: no flows at all. */
    link.vnics = &vnics[1];
    link.vnic_count = 2;
    ck_assert_int_eq(forwarding_plan_link(&link, &table, &no_uplink, &set, &missing, &err), 0);
    ck_assert_uint_eq(set.count, 0);
}
END_TEST

static void expect_refused(struct forwarding_vnic vnic, uint32_t vni, const char *why) {
    struct forwarding_vnic pair[] = {
        { "a", "eth0", 1, { 2, 0, 0, 0, 0, 1 }, NULL, 0, NULL, "10.9.0.2", true, 0, NULL, NULL }, vnic
    };
    struct forwarding_link link = { .vni = vni, .vnics = pair, .vnic_count = 2 };
    struct flow_set set;
    struct err err = ERR_INIT;
    size_t missing = 0;
    ck_assert_int_eq(forwarding_plan_link(&link, &table, &no_uplink, &set, &missing, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNPROCESSABLE);
    ck_assert_msg(strstr(err.msg, why) != NULL, "%s", err.msg);
    flow_set_done(&set);
}

START_TEST(test_plan_refuses) {
    const char *const bad[] = { "10.0.0" };
    struct forwarding_vnic good = { "b", "eth0", 1, { 2, 0, 0, 0, 0, 2 }, NULL, 0, "t0", NULL,
                                    true, 0, NULL, NULL };
    struct forwarding_vnic v = good;
    port_table_sort(&table);
    expect_refused(good, 0, "network id");
    expect_refused(good, FORWARDING_VNI_MAX + 1, "network id");
    v.vtep = "10.9.0.2";
    expect_refused(v, 1, "either a port or a VTEP");
    v.port = NULL;
    v.vtep = "nowhere";
    expect_refused(v, 1, "VTEP");
    v = good;
    v.mac[5] = 1;
    expect_refused(v, 1, "two vNICs");
    v.mac[0] = 3;
    expect_refused(v, 1, "group address");
    v = good;
    v.addresses = bad;
    v.address_count = 1;
    expect_refused(v, 1, "10.0.0 is no IPv4 or IPv6 address");
    v.address_count = FORWARDING_ADDRESSES_MAX + 1;
    expect_refused(v, 1, "many addresses");
}
END_TEST

START_TEST(test_flood_too_wide) {
    size_t count = 4000;
    AUTO_FREE struct forwarding_vnic *vnics = xcalloc(count, sizeof(*vnics));
    AUTO_FREE char *vteps = xcalloc(count, 16);
    for (size_t i = 0; i < count; i++) {
        uint8_t mac[6] = { 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i };
        memcpy(vnics[i].mac, mac, 6);
        snprintf(vteps + 16 * i, 16, "10.8.%zu.%zu", i >> 8, i & 255);
        vnics[i].vtep = vteps + 16 * i;
    }
    vnics[0].vtep = NULL;
    vnics[0].port = "t0";
    struct forwarding_link link = { .vni = 5, .vnics = vnics, .vnic_count = count };
    struct flow_set set;
    struct err err = ERR_INIT;
    size_t missing = 0;
    port_table_sort(&table);
    ck_assert_int_eq(forwarding_plan_link(&link, &table, &no_uplink, &set, &missing, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    flow_set_done(&set);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("nm_openflow");
    TCase *tc = tcase_create("wire");
    tcase_add_test(tc, test_flow_mod);
    tcase_add_test(tc, test_masks_and_tunnel_fields);
    tcase_add_test(tc, test_other_messages);
    tcase_add_test(tc, test_read_back_is_the_same);
    tcase_add_test(tc, test_malformed_replies);
    tcase_add_test(tc, test_ports_meters_errors);
    tcase_add_test(tc, test_canonical_match);
    tcase_add_test(tc, test_cookie);
    tcase_add_test(tc, test_plan);
    tcase_add_test(tc, test_plan_refuses);
    tcase_add_test(tc, test_flood_too_wide);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
