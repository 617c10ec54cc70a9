#include "qcow2.h"

#include <string.h>

#define MAGIC UINT32_C(0x514649fb)
#define HEAD_V2_BYTES 72u
#define HEAD_V3_BYTES 104u
#define EXTENSION_END UINT32_C(0)
#define EXTENSION_BACKING_FORMAT UINT32_C(0xe2792aca)
#define EXTENSION_DATA_FILE UINT32_C(0x44415441)
#define INCOMPATIBLE_CORRUPT (UINT64_C(1) << 1)
#define INCOMPATIBLE_DATA_FILE (UINT64_C(1) << 2)
#define INCOMPATIBLE_KNOWN UINT64_C(0x1f) /* dirty, corrupt, data file, compression, extended L2 */

static uint32_t u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static uint64_t u64(const uint8_t *p) { return (uint64_t)u32(p) << 32 | u32(p + 4); }

bool qcow2_is(const void *data, size_t length) { return length >= 4 && u32(data) == MAGIC; }

static int refuse(struct err *err, const char *what, const char *remedy) {
    err_set(err, ERR_UNPROCESSABLE, "the qcow2 header %s", what);
    return err_remedy(err, "%s", remedy);
}

#define CHECK_IT "check the file with qemu-img check; convert it again if need be"
#define FLATTEN_IT "make it stand alone: qemu-img convert -O qcow2 IMAGE NEW-IMAGE"

/* Backing and data files can also be told by extensions that follow the header. */
static int check_extensions(const uint8_t *p, size_t at, size_t end, struct err *err) {
    while (at + 8 <= end) {
        uint32_t type = u32(p + at), length = u32(p + at + 4);
        if (type == EXTENSION_END) return 0;
        if (type == EXTENSION_DATA_FILE)
            return refuse(err, "names an external data file", FLATTEN_IT);
        if (type == EXTENSION_BACKING_FORMAT)
            return refuse(err, "names a backing file's format", FLATTEN_IT);
        if (length > end - at - 8) return refuse(err, "has a broken extension", CHECK_IT);
        at += 8 + ((size_t)length + 7) / 8 * 8;
    }
    return 0;
}

static int check_features(const uint8_t *p, struct err *err) {
    uint64_t incompatible = u64(p + 72);
    if (incompatible & INCOMPATIBLE_DATA_FILE)
        return refuse(err, "uses an external data file", FLATTEN_IT);
    if (incompatible & INCOMPATIBLE_CORRUPT)
        return refuse(err, "is marked corrupt", "repair it: qemu-img check -r all IMAGE");
    if (incompatible & ~INCOMPATIBLE_KNOWN)
        return refuse(err, "needs features that are not known here", FLATTEN_IT);
    if (u32(p + 96) > 6) return refuse(err, "has a broken refcount width", CHECK_IT);
    return 0;
}

static int check_tables(const uint8_t *p, uint32_t cluster_bits, int64_t file_size,
                        struct err *err) {
    uint64_t size = (uint64_t)file_size, mask = (UINT64_C(1) << cluster_bits) - 1;
    uint64_t l1_at = u64(p + 40), l1_entries = u32(p + 36), refcount_at = u64(p + 48);
    /* An L2 table maps (cluster / 8) clusters; the L1 table must cover the disk, no table more. */
    uint32_t covered_bits = 2 * cluster_bits - 3;
    uint64_t needed = (u64(p + 24) >> covered_bits) + 1;
    if (l1_at & mask || refcount_at & mask || l1_at > size || refcount_at > size ||
        l1_entries * 8 > size - l1_at || l1_entries + 2 < needed)
        return refuse(err, "points outside of the file", CHECK_IT);
    return 0;
}

static int check_v3(const uint8_t *p, size_t length, size_t *ret_head, struct err *err) {
    if (length < HEAD_V3_BYTES) return refuse(err, "is truncated", CHECK_IT);
    *ret_head = u32(p + 100);
    if (*ret_head < HEAD_V3_BYTES || *ret_head > length || *ret_head % 8)
        return refuse(err, "has a broken length", CHECK_IT);
    return check_features(p, err);
}

int qcow2_check(const void *data, size_t length, int64_t file_size, struct qcow2_head *ret,
                struct err *err) {
    const uint8_t *p = data;
    if (!qcow2_is(data, length)) return refuse(err, "is missing: this is no qcow2 file", CHECK_IT);
    if (length < HEAD_V2_BYTES) return refuse(err, "is truncated", CHECK_IT);
    uint32_t version = u32(p + 4), cluster_bits = u32(p + 20);
    uint64_t virtual_size = u64(p + 24);
    if (version != 2 && version != 3)
        return refuse(err, "is of a version other than 2 and 3", FLATTEN_IT);
    if (u64(p + 8) != 0 || u32(p + 16) != 0) return refuse(err, "names a backing file", FLATTEN_IT);
    if (cluster_bits < 9 || cluster_bits > 21) return refuse(err, "has a broken cluster size", CHECK_IT);
    if (u32(p + 32) != 0) return refuse(err, "asks for encryption", FLATTEN_IT);
    if (virtual_size > (UINT64_C(1) << 53)) return refuse(err, "has an absurd size", CHECK_IT);
    size_t head = HEAD_V2_BYTES;
    if (version == 3 && check_v3(p, length, &head, err)) return -1;
    if (check_tables(p, cluster_bits, file_size, err)) return -1;
    size_t cluster = (size_t)1 << cluster_bits;
    if (check_extensions(p, head, length < cluster ? length : cluster, err)) return -1;
    *ret = (struct qcow2_head){ version, cluster_bits, (int64_t)virtual_size };
    return 0;
}
