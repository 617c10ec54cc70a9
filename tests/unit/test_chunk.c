/*
 * Chunks: where they end, how zeros are found, how they are encoded, and what a bad one does.
 */
#include "common/chunk.h"
#include "common/mem.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zstd.h>

#define MIB (1u << 20)

/* Reproducible bytes that do not compress. */
static void fill(uint8_t *to, size_t length, uint64_t seed) {
    for (size_t i = 0; i < length; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        to[i] = (uint8_t)(seed >> 56);
    }
}

static int temporary(void) {
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void put(int fd, const void *data, size_t length, off_t at) {
    ck_assert_int_eq(pwrite(fd, data, length, at), (ssize_t)length);
}

START_TEST(cuts_stay_within_bounds_and_near_the_average) {
    size_t length = 64 * MIB;
    AUTO_FREE uint8_t *data = xmalloc(length);
    fill(data, length, 1);
    size_t count = 0;
    for (size_t at = 0; at < length;) {
        size_t n = chunk_cut(data + at, length - at);
        ck_assert_uint_le(n, CHUNK_MAX_BYTES);
        if (at + n < length) ck_assert_uint_gt(n, CHUNK_MIN_BYTES);
        at += n;
        count++;
    }
    size_t average = length / count;
    ck_assert_uint_gt(average, CHUNK_AVG_BYTES * 3 / 4);
    ck_assert_uint_lt(average, CHUNK_AVG_BYTES * 5 / 4);
}
END_TEST

START_TEST(an_insertion_changes_few_chunks) {
    size_t length = 16 * MIB;
    AUTO_FREE uint8_t *data = xmalloc(length + 1);
    fill(data + 1, length, 2);
    size_t shared = 0, count = 0;
    /* The cuts of the original, and those of the one with a byte before it. */
    AUTO_FREE bool *is_cut = xcalloc(length + 2, 1);
    for (size_t at = 1; at < length + 1; at += chunk_cut(data + at, length + 1 - at))
        is_cut[at] = true;
    data[0] = 77;
    for (size_t at = 0; at < length + 1; at += chunk_cut(data + at, length + 1 - at), count++)
        shared += is_cut[at];
    ck_assert_uint_ge(shared + 4, count);
}
END_TEST

/* The cuts are part of the format: a change here makes stored images unshareable. */
START_TEST(cuts_never_change) {
    AUTO_FREE uint8_t *data = xmalloc(MIB);
    fill(data, MIB, 42);
    ck_assert_uint_eq(chunk_cut(data, MIB), 355271);
    ck_assert_uint_eq(chunk_cut(data + 355271, MIB - 355271), 345691);
}
END_TEST

/* Walks fd and checks that the spans are the file, without gaps. Returns their number. */
static size_t walk(int fd, const uint8_t *expected, int64_t size, size_t *ret_zero) {
    struct err err = ERR_INIT;
    struct chunk_span span;
    struct chunk_scan *scan = chunk_scan_new(fd, size);
    int64_t at = 0;
    size_t count = 0, zero = 0;
    int more;
    while ((more = chunk_scan_next(scan, &span, &err)) == 1) {
        ck_assert_int_eq(span.offset, at);
        ck_assert_int_gt(span.size, 0);
        if (span.zero) {
            ck_assert(chunk_is_zero(expected + at, (size_t)span.size));
            zero++;
        } else {
            ck_assert_int_le(span.size, CHUNK_MAX_BYTES);
            ck_assert_int_eq(memcmp(span.data, expected + at, (size_t)span.size), 0);
        }
        at += span.size;
        count++;
    }
    ck_assert_msg(more == 0, "%s", err.msg);
    ck_assert_int_eq(at, size);
    chunk_scan_free(scan);
    if (ret_zero) *ret_zero = zero;
    return count;
}

START_TEST(a_scan_finds_zeros_written_or_not) {
    size_t length = 9 * MIB + 1234;
    AUTO_FREE uint8_t *data = xcalloc(1, length);
    fill(data, 100000, 3);                         /* data, then zeros */
    fill(data + 3 * MIB, 2 * MIB, 4);              /* data from an aligned place */
    memset(data + 4 * MIB, 0, CHUNK_MIN_BYTES / 2);/* too short to count */
    fill(data + 8 * MIB + 17, 5, 5);               /* a few bytes in a sea of zeros */
    AUTO_FD int dense = temporary();
    put(dense, data, length, 0);
    AUTO_FD int sparse = temporary();
    ck_assert_int_eq(ftruncate(sparse, (off_t)length), 0);
    put(sparse, data, 100000, 0);
    put(sparse, data + 3 * MIB, 2 * MIB, 3 * MIB);
    put(sparse, data + 8 * MIB + 17, 5, 8 * MIB + 17);
    size_t zero_dense, zero_sparse;
    size_t count = walk(dense, data, (int64_t)length, &zero_dense);
    ck_assert_uint_eq(walk(sparse, data, (int64_t)length, &zero_sparse), count);
    ck_assert_uint_eq(zero_dense, 3);
    ck_assert_uint_eq(zero_sparse, 3);
}
END_TEST

START_TEST(a_scan_handles_every_small_size) {
    static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 65535, 65536, 65537, MIB, MIB + 1 };
    AUTO_FREE uint8_t *data = xcalloc(1, MIB + 1);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        AUTO_FD int fd = temporary();
        ck_assert_int_eq(ftruncate(fd, (off_t)sizes[i]), 0);
        size_t zero;
        walk(fd, data, (int64_t)sizes[i], &zero);
        if (sizes[i] >= CHUNK_MIN_BYTES) ck_assert_uint_eq(zero, 1);
    }
}
END_TEST

START_TEST(a_huge_hole_costs_nothing) {
    AUTO_FD int fd = temporary();
    int64_t size = INT64_C(1) << 42;
    ck_assert_int_eq(ftruncate(fd, size), 0);
    put(fd, "end", 3, size - 3);
    struct chunk_scan *scan = chunk_scan_new(fd, size);
    struct chunk_span span;
    struct err err = ERR_INIT;
    ck_assert_int_eq(chunk_scan_next(scan, &span, &err), 1);
    ck_assert(span.zero);
    ck_assert_int_eq(span.size, size - CHUNK_PAGE_BYTES);
    ck_assert_int_eq(chunk_scan_next(scan, &span, &err), 1);
    ck_assert(!span.zero);
    ck_assert_int_eq(chunk_scan_next(scan, &span, &err), 0);
    chunk_scan_free(scan);
}
END_TEST

START_TEST(a_file_that_shrinks_is_an_error) {
    AUTO_FD int fd = temporary();
    put(fd, "short", 5, 0);
    struct chunk_scan *scan = chunk_scan_new(fd, 100000);
    struct chunk_span span;
    struct err err = ERR_INIT;
    ck_assert_int_eq(chunk_scan_next(scan, &span, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    chunk_scan_free(scan);
}
END_TEST

struct sample {
    uint8_t data[100000], encoded[100000], decoded[CHUNK_MAX_BYTES];
    size_t length; /* encoded */
    enum chunk_encoding encoding;
    char digest[SHA256_TEXT_BYTES];
};
static struct sample sample;

static void make_sample(bool compressible) {
    fill(sample.data, sizeof sample.data, 9);
    if (compressible)
        for (size_t i = 0; i < sizeof sample.data; i++) sample.data[i] &= 3;
    sample.length = chunk_encode(sample.data, sizeof sample.data, CHUNK_LEVEL_DEFAULT,
                                 sample.encoded, &sample.encoding);
    sha256_text(sample.data, sizeof sample.data, sample.digest);
}

static int decode(size_t length, size_t size, size_t capacity, struct err *err) {
    size_t n = 0;
    int failed = chunk_decode(sample.encoding, sample.encoded, length, sample.digest, size,
                              sample.decoded, capacity, &n, err);
    if (!failed) {
        ck_assert_uint_eq(n, sizeof sample.data);
        ck_assert_int_eq(memcmp(sample.decoded, sample.data, n), 0);
    }
    return failed;
}

START_TEST(encoding_goes_there_and_back) {
    make_sample(_i);
    ck_assert_int_eq(sample.encoding, _i ? CHUNK_ZSTD : CHUNK_RAW);
    ck_assert(_i ? sample.length < sizeof sample.data : sample.length == sizeof sample.data);
    ck_assert_int_eq(chunk_encoding_of(sample.length, sizeof sample.data), sample.encoding);
    struct err err = ERR_INIT;
    ck_assert_msg(!decode(sample.length, sizeof sample.data, sizeof sample.data, &err), "%s",
                  err.msg);
    ck_assert_msg(!decode(sample.length, 0, CHUNK_MAX_BYTES, &err), "%s", err.msg);
}
END_TEST

START_TEST(one_byte_goes_there_and_back) {
    uint8_t in = 5, out = 0, encoded;
    enum chunk_encoding encoding;
    char digest[SHA256_TEXT_BYTES];
    size_t n;
    struct err err = ERR_INIT;
    ck_assert_uint_eq(chunk_encode(&in, 1, 1, &encoded, &encoding), 1);
    sha256_text(&in, 1, digest);
    ck_assert(!chunk_decode(encoding, &encoded, 1, digest, 1, &out, 1, &n, &err));
    ck_assert_uint_eq(out, 5);
}
END_TEST

START_TEST(every_flipped_byte_is_noticed_and_the_chunk_named) {
    make_sample(true);
    for (size_t i = 0; i < sample.length; i += 97) {
        struct err err = ERR_INIT;
        sample.encoded[i] ^= 0x10;
        ck_assert_int_eq(decode(sample.length, sizeof sample.data, CHUNK_MAX_BYTES, &err), -1);
        ck_assert(err.code == ERR_INTEGRITY || err.code == ERR_TOO_LARGE);
        ck_assert_ptr_nonnull(strstr(err.msg, sample.digest));
        sample.encoded[i] ^= 0x10;
    }
}
END_TEST

START_TEST(every_truncation_is_noticed) {
    make_sample(true);
    for (size_t n = 0; n < sample.length; n += n < 64 ? 1 : 211) {
        struct err err = ERR_INIT;
        ck_assert_int_eq(decode(n, 0, CHUNK_MAX_BYTES, &err), -1);
        ck_assert_int_eq(err.code, ERR_INTEGRITY);
    }
}
END_TEST

START_TEST(nothing_may_follow_the_frame) {
    make_sample(true);
    struct err err = ERR_INIT;
    memcpy(sample.encoded + sample.length, sample.encoded, 16);
    ck_assert_int_eq(decode(sample.length + 1, 0, CHUNK_MAX_BYTES, &err), -1);
    ck_assert_int_eq(decode(sample.length + 16, 0, CHUNK_MAX_BYTES, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
}
END_TEST

START_TEST(another_size_is_refused) {
    struct err err = ERR_INIT;
    make_sample(_i);
    ck_assert_int_eq(decode(sample.length, sizeof sample.data - 1, CHUNK_MAX_BYTES, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
    ck_assert_int_eq(decode(sample.length, 0, sizeof sample.data - 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
}
END_TEST

/* 1 GiB of zeros in about 32 KiB: refused by what the frame claims. */
START_TEST(a_bomb_that_tells_its_size_is_refused) {
    size_t huge = 64 * MIB;
    AUTO_FREE uint8_t *zeros = xcalloc(1, huge);
    size_t capacity = ZSTD_compressBound(huge);
    AUTO_FREE uint8_t *bomb = xmalloc(capacity);
    size_t n = ZSTD_compress(bomb, capacity, zeros, huge, 3);
    ck_assert(!ZSTD_isError(n));
    struct err err = ERR_INIT;
    size_t size;
    make_sample(true);
    ck_assert_int_eq(chunk_decode(CHUNK_ZSTD, bomb, n, sample.digest, 0, sample.decoded,
                                  CHUNK_MAX_BYTES, &size, &err),
                     -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
}
END_TEST

/* The same without a content size, as streaming makes it: never inflated at all. */
START_TEST(a_bomb_that_hides_its_size_is_refused) {
    static uint8_t zeros[8 * MIB], bomb[64 << 10];
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_inBuffer in = { zeros, sizeof zeros, 0 };
    ZSTD_outBuffer out = { bomb, sizeof bomb, 0 };
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    ck_assert_uint_eq(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(c);
    struct err err = ERR_INIT;
    size_t size;
    make_sample(true);
    ck_assert_int_eq(chunk_decode(CHUNK_ZSTD, bomb, out.pos, sample.digest, 0, sample.decoded,
                                  CHUNK_MAX_BYTES, &size, &err),
                     -1);
    ck_assert_int_eq(err.code, ERR_INTEGRITY);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("chunk");
    TCase *cuts = tcase_create("cuts");
    tcase_set_timeout(cuts, 60);
    tcase_add_test(cuts, cuts_stay_within_bounds_and_near_the_average);
    tcase_add_test(cuts, an_insertion_changes_few_chunks);
    tcase_add_test(cuts, cuts_never_change);
    tcase_add_test(cuts, a_scan_finds_zeros_written_or_not);
    tcase_add_test(cuts, a_scan_handles_every_small_size);
    tcase_add_test(cuts, a_huge_hole_costs_nothing);
    tcase_add_test(cuts, a_file_that_shrinks_is_an_error);
    suite_add_tcase(suite, cuts);
    TCase *codec = tcase_create("codec");
    tcase_set_timeout(codec, 60);
    tcase_add_loop_test(codec, encoding_goes_there_and_back, 0, 2);
    tcase_add_test(codec, one_byte_goes_there_and_back);
    tcase_add_test(codec, every_flipped_byte_is_noticed_and_the_chunk_named);
    tcase_add_test(codec, every_truncation_is_noticed);
    tcase_add_test(codec, nothing_may_follow_the_frame);
    tcase_add_loop_test(codec, another_size_is_refused, 0, 2);
    tcase_add_test(codec, a_bomb_that_tells_its_size_is_refused);
    tcase_add_test(codec, a_bomb_that_hides_its_size_is_refused);
    suite_add_tcase(suite, codec);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
