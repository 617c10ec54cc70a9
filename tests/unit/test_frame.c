/*
 * The experiment header: golden frames (tests/frames/make says what each is, by hand), encoding,
 * every cut and every changed byte of a frame inside a page that ends where the frame does.
 */
#include "frame/frame_text.h"
#include "frame/pcap.h"

#include "common/schema.h"

#include <check.h>
#include <stdio.h>
#include <sys/mman.h>

#define GOLDEN TEST_SOURCE_DIR "/tests/frames/golden"

static json *golden;
static struct layout own;
static uint8_t capture[1 << 16];
static size_t capture_bytes;

static void load(void) {
    struct err err = ERR_INIT;
    ck_assert_msg(schema_load(&err) == 0, "%s", err.msg);
    golden = json_parse_file(GOLDEN ".json", &err);
    ck_assert_msg(golden != NULL, "%s", err.msg);
    ck_assert_msg(layout_parse(json_get(golden, "layout"), &own, &err) == 0, "%s", err.msg);
    FILE *f = fopen(GOLDEN ".pcap", "rb");
    ck_assert_ptr_nonnull(f);
    capture_bytes = fread(capture, 1, sizeof capture, f);
    fclose(f);
}
static void unload(void) {
    json_put(golden);
    schema_unload();
}

/* --- golden frames --- */

static void compare(const json *said, const json *found) {
    const char *name = json_get_str(said, "name");
    ck_assert_msg(strcmp(json_get_str(said, "status"), json_get_str(found, "status")) == 0,
                  "%s: %s", name, json_get_str(found, "status"));
    if (strcmp(json_get_str(said, "status"), "ok") != 0) return;
    static const char *const keys[] = { "slice", "slice_type", "payload_bytes" };
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        ck_assert_msg(json_get_int(said, keys[i], -1) == json_get_int(found, keys[i], -2), "%s: %s",
                      name, keys[i]);
    char inner[8];
    snprintf(inner, sizeof inner, "0x%04x", (unsigned)json_get_int(said, "inner", 0));
    ck_assert_str_eq(inner, json_get_str(found, "inner"));
    if (json_length(json_get(said, "fields")))
        ck_assert_msg(json_equal(json_get(said, "fields"), json_get(found, "fields")), "%s", name);
}

START_TEST(golden_frames_are_what_is_said) {
    struct err err = ERR_INIT;
    struct pcap_reader r;
    const uint8_t *frame;
    size_t length, n = 0;
    const json *frames = json_get(golden, "frames");
    ck_assert_msg(pcap_open(&r, capture, capture_bytes, &err) == 0, "%s", err.msg);
    while (pcap_next(&r, &frame, &length, &err) == 1) {
        json *found AUTO_JSON = frame_describe(frame, length, &own);
        compare(json_at(frames, n++), found);
    }
    ck_assert_uint_eq(n, json_length(frames));
    ck_assert_uint_ge(n, 30);
}
END_TEST

/* What is described can be composed again, byte by byte. */
START_TEST(good_frames_come_back) {
    static uint8_t again[FRAME_BYTES_MAX];
    struct err err = ERR_INIT;
    struct pcap_reader r;
    const uint8_t *frame;
    size_t length, made, good = 0;
    pcap_open(&r, capture, capture_bytes, &err);
    while (pcap_next(&r, &frame, &length, &err) == 1) {
        json *found AUTO_JSON = frame_describe(frame, length, &own);
        if (!json_has(found, "fields")) continue;
        const struct layout *l = json_get_int(found, "slice_type", 0) == 128 ? &own : NULL;
        ck_assert_msg(frame_compose(found, l, again, &made, &err) == 0, "%s", err.msg);
        ck_assert_uint_eq(made, length);
        ck_assert_mem_eq(again, frame, length);
        good++;
    }
    ck_assert_uint_ge(good, 15);
}
END_TEST

/* --- nothing beyond the end --- */

static uint8_t *guarded(size_t length) {
    uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(pages != MAP_FAILED && mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    return pages + 4096 - length;
}

START_TEST(no_byte_beyond_the_end_is_read) {
    struct err err = ERR_INIT;
    struct pcap_reader r;
    const uint8_t *frame;
    size_t length;
    pcap_open(&r, capture, capture_bytes, &err);
    while (pcap_next(&r, &frame, &length, &err) == 1)
        for (size_t cut = 0; cut <= length && cut < 100; cut++) {
            struct jogak_frame f;
            uint8_t *copy = guarded(cut);
            memcpy(copy, frame, cut);
            enum jogak_frame_status status = jogak_frame_decode(copy, cut, &f);
            ck_assert_int_lt(status, JOGAK_FRAME_STATUS_MAX);
            if (cut < 14) ck_assert_int_eq(status, JOGAK_FRAME_RUNT);
            if (status == JOGAK_FRAME_OK) ck_assert_ptr_eq(f.payload + f.payload_bytes, copy + cut);
            munmap(copy + cut - 4096, 8192);
        }
}
END_TEST

/* Each value of each of the header's first bytes has one answer, that of the table. */
START_TEST(first_bytes_one_by_one) {
    uint8_t frame[14 + 60 + 46] = { [12] = 0x88, [13] = 0xb5, [19] = 1 };
    unsigned good = 0;
    for (unsigned type = 0; type < 256; type++)
        for (unsigned first = 0; first < 256; first++) {
            struct jogak_frame f;
            unsigned words = first & 15, at = 12 + words * 4;
            frame[14] = (uint8_t)first;
            frame[15] = (uint8_t)type;
            if (words > 2) frame[at] = 0x90;
            else frame[20] = 0x90;
            enum jogak_frame_status status = jogak_frame_decode(frame, sizeof frame, &f);
            bool fits = type == 1 ? words == 2 : type == 2 ? words == 5
                        : type >= 128 && type < 255 && words >= 2;
            ck_assert_int_eq(status == JOGAK_FRAME_OK, first >> 4 == 1 && fits);
            good += status == JOGAK_FRAME_OK;
            frame[at > 14 ? at : 20] = frame[20] = 0;
        }
    ck_assert_uint_eq(good, 1 + 1 + 127 * 14);
}
END_TEST

/* --- encoding --- */

static enum jogak_frame_status encode(struct jogak_frame f, size_t room) {
    static const uint8_t to[6] = { 2 }, from[6] = { 4 }, info[52];
    uint8_t out[256], before[256];
    memset(out, 0xee, sizeof out);
    memset(before, 0xee, sizeof before);
    f.info = info;
    f.payload = info;
    enum jogak_frame_status status = jogak_frame_encode(&f, to, from, out, room);
    if (status != JOGAK_FRAME_OK) ck_assert_mem_eq(out, before, sizeof out);
    else ck_assert_mem_eq(out + jogak_frame_bytes(&f), before, sizeof out - jogak_frame_bytes(&f));
    return status;
}

START_TEST(what_no_decoder_takes_is_not_encoded) {
    struct jogak_frame f = { .slice = 7, .type = 1, .header_bytes = 8, .inner = 0x9000,
                             .payload_bytes = 4 };
    ck_assert_int_eq(encode(f, 26), JOGAK_FRAME_OK);
    ck_assert_int_eq(encode(f, 25), JOGAK_FRAME_CUT);
    ck_assert_int_eq(encode(f, 21), JOGAK_FRAME_CUT);
    ck_assert_int_eq(encode(f, 0), JOGAK_FRAME_CUT);
    struct { struct jogak_frame f; enum jogak_frame_status status; } rows[] = {
        { { .slice = 0, .type = 1, .header_bytes = 8, .inner = 0x9000 }, JOGAK_FRAME_BAD_SLICE },
        { { .slice = 1, .type = 3, .header_bytes = 8, .inner = 0x9000 }, JOGAK_FRAME_BAD_TYPE },
        { { .slice = 1, .type = 2, .header_bytes = 8, .inner = 0x9000 }, JOGAK_FRAME_BAD_LENGTH },
        { { .slice = 1, .type = 128, .header_bytes = 64, .inner = 0x9000 }, JOGAK_FRAME_BAD_LENGTH },
        { { .slice = 1, .type = 128, .header_bytes = 10, .inner = 0x9000 }, JOGAK_FRAME_BAD_LENGTH },
        { { .slice = 1, .type = 1, .header_bytes = 8, .inner = 0x88b5 }, JOGAK_FRAME_BAD_INNER },
        { { .slice = 1, .type = 1, .header_bytes = 8, .inner = 1501 }, JOGAK_FRAME_BAD_INNER },
        { { .slice = 1, .type = 1, .header_bytes = 8, .inner = 5, .payload_bytes = 4 },
          JOGAK_FRAME_CUT_INNER },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_int_eq(encode(rows[i].f, 256), rows[i].status);
}
END_TEST

/* --- layouts --- */

static int parse_layout(const char *text, struct layout *l, struct err *err) {
    json *j AUTO_JSON = json_parse(text, strlen(text), err);
    ck_assert_msg(j != NULL, "%s", err->msg);
    return layout_parse(j, l, err);
}
#define LAYOUT(rest) "{\"slice_type\":128,\"name\":\"t\"," rest "}"
#define FIELD(n, o, w) "{\"name\":\"" n "\",\"offset\":" #o ",\"width\":" #w "}"

START_TEST(layouts_are_checked) {
    static const struct { const char *text, *message; } rows[] = {
        { LAYOUT("\"info_bytes\":4,\"fields\":[" FIELD("a", 0, 33) "]"), "ends at bit 33" },
        { LAYOUT("\"info_bytes\":0,\"fields\":[" FIELD("a", 0, 1) "]"), "ends at bit 1" },
        { LAYOUT("\"info_bytes\":4,\"fields\":[" FIELD("a", 0, 9) "," FIELD("b", 8, 1) "]"), "lies over \"a\"" },
        { LAYOUT("\"info_bytes\":4,\"fields\":[" FIELD("a", 8, 1) "," FIELD("b", 0, 9) "]"), "lies over \"a\"" },
        { LAYOUT("\"info_bytes\":4,\"fields\":[" FIELD("a", 0, 1) "," FIELD("a", 8, 1) "]"), "already" },
        { LAYOUT("\"info_bytes\":6,\"fields\":[]"), "info_bytes" },
        { LAYOUT("\"info_bytes\":56,\"fields\":[]"), "info_bytes" },
        { LAYOUT("\"info_bytes\":12,\"fields\":[" FIELD("a", 0, 65) "]"), "width" },
        { LAYOUT("\"info_bytes\":12,\"fields\":[" FIELD("a", 0, 0) "]"), "width" },
        { LAYOUT("\"info_bytes\":12,\"fields\":[" FIELD("A", 0, 1) "]"), "name" },
        { LAYOUT("\"info_bytes\":12"), "fields" },
        { "{\"slice_type\":127,\"name\":\"t\",\"info_bytes\":4,\"fields\":[]}", "slice_type" },
        { "{\"slice_type\":255,\"name\":\"t\",\"info_bytes\":4,\"fields\":[]}", "slice_type" },
    };
    struct layout l;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        ck_assert_int_eq(parse_layout(rows[i].text, &l, &err), -1);
        ck_assert_msg(strstr(err.msg, rows[i].message) != NULL, "%s: %s", rows[i].text, err.msg);
    }
}
END_TEST

START_TEST(fields_keep_to_their_bits) {
    struct err err = ERR_INIT;
    struct layout l;
    ck_assert_msg(parse_layout(LAYOUT("\"info_bytes\":12,\"fields\":[" FIELD("a", 3, 64) ","
                                      FIELD("b", 67, 5) "," FIELD("c", 0, 1) "]"), &l, &err) == 0,
                  "%s", err.msg);
    json *again AUTO_JSON = layout_json(&l);
    struct layout same;
    ck_assert_int_eq(layout_parse(again, &same, &err), 0);
    ck_assert_uint_eq(same.count, 3);
    uint8_t info[12] = { 0 };
    layout_put(&l.fields[0], info, UINT64_MAX);
    ck_assert_mem_eq(info, "\x1f\xff\xff\xff\xff\xff\xff\xff\xe0\0\0\0", 12);
    layout_put(&l.fields[1], info, 0x15);
    layout_put(&l.fields[0], info, 0x8000000000000001);
    ck_assert_mem_eq(info, "\x10\0\0\0\0\0\0\0\x35\0\0\0", 12);
    ck_assert(layout_get(&l.fields[0], info) == 0x8000000000000001);
    ck_assert_uint_eq(layout_get(&l.fields[1], info), 0x15);
    ck_assert_uint_eq(layout_get(&l.fields[2], info), 0);
}
END_TEST

START_TEST(values_are_checked) {
    static const struct { const char *values, *message; } rows[] = {
        { "{\"hop\":64}", "more than 6 bits" }, { "{\"hop\":-1}", "not a number" },
        { "{\"nothing\":1}", "no field" }, { "{\"hop\":\"x\"}", "not a number" },
        { "{\"hop\":\"99999999999999999999\"}", "not a number" }, { "{\"hop\":1.5}", "not a number" },
    };
    uint8_t info[52];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        json *values AUTO_JSON = json_parse(rows[i].values, strlen(rows[i].values), &err);
        ck_assert_int_eq(layout_fill(&own, values, info, &err), -1);
        ck_assert_msg(strstr(err.msg, rows[i].message) != NULL, "%s", err.msg);
    }
}
END_TEST

START_TEST(captures_that_break_off) {
    struct err err = ERR_INIT;
    struct pcap_reader r;
    const uint8_t *frame;
    size_t length;
    ck_assert_int_eq(pcap_open(&r, capture, 23, &err), -1);
    ck_assert_int_eq(pcap_open(&r, (const uint8_t *)"not a capture at all....", 24, &err), -1);
    ck_assert_int_eq(pcap_open(&r, capture, 24, &err), 0);
    ck_assert_int_eq(pcap_next(&r, &frame, &length, &err), 0);
    for (size_t cut = 25; cut < 24 + 16 + 68; cut++) {
        ck_assert_int_eq(pcap_open(&r, capture, cut, &err), 0);
        ck_assert_int_eq(pcap_next(&r, &frame, &length, &err), -1);
    }
    capture[23] = 113; /* Linux cooked */
    ck_assert_int_eq(pcap_open(&r, capture, capture_bytes, &err), -1);
    capture[23] = 1;
}
END_TEST

int main(void) {
    Suite *s = suite_create("frame");
    TCase *t = tcase_create("frame");
    tcase_add_unchecked_fixture(t, load, unload);
    tcase_add_test(t, golden_frames_are_what_is_said);
    tcase_add_test(t, good_frames_come_back);
    tcase_add_test(t, no_byte_beyond_the_end_is_read);
    tcase_add_test(t, first_bytes_one_by_one);
    tcase_add_test(t, what_no_decoder_takes_is_not_encoded);
    tcase_add_test(t, layouts_are_checked);
    tcase_add_test(t, fields_keep_to_their_bits);
    tcase_add_test(t, values_are_checked);
    tcase_add_test(t, captures_that_break_off);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
