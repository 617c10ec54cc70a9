#include "nodemgr/seed.h"

#include "common/service.h"
#include "common/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>

static void writer_free(struct archive **a) { archive_write_free(*a); }
static void entry_free(struct archive_entry **e) { archive_entry_free(*e); }

static ssize_t collect(struct archive *a, void *ctx, const void *data, size_t length) {
    (void)a;
    buf_add(ctx, data, length);
    return (ssize_t)length;
}

static int failed(struct archive *a, struct err *err) {
    const char *cause = archive_error_string(a);
    return err_set(err, ERR_UNAVAILABLE, "make the seed: %s", cause ? cause : "unknown cause");
}

/* libarchive stamps entries that have no time with the present one, so each gets a fixed time. */
static int add_file(struct archive *a, const char *name, const char *text, struct err *err) {
    size_t length = strlen(text);
    struct archive_entry *e CLEANUP(entry_free) = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0444);
    archive_entry_set_size(e, (int64_t)length);
    archive_entry_set_mtime(e, 0, 0);
    archive_entry_set_ctime(e, 0, 0);
    archive_entry_set_atime(e, 0, 0);
    archive_entry_set_birthtime(e, 0, 0);
    if (archive_write_header(a, e) != ARCHIVE_OK) return failed(a, err);
    return archive_write_data(a, text, length) == (ssize_t)length ? 0 : failed(a, err);
}

/*
 * libarchive stamps the volume and its root directory with the time of writing and offers no way to
 * choose another. The three places: the descriptors' 17-byte dates ("0000...": not given), every
 * 7-byte date that equals the root record's (control characters, which no text of ours contains),
 * and a sector of remarks that begins with INFO.
 */
#define SECTOR 2048u
#define FIRST_DESCRIPTOR (16 * SECTOR)
#define ROOT_DATE 174 /* of a descriptor */
#define RECORD_DATE_BYTES 7
#define VOLUME_ID 40 /* libarchive makes it upper case in the first descriptor */
#define VOLUME_DATES 813
#define VOLUME_DATE_BYTES 17
#define VOLUME_DATE_COUNT 4

static void blank_descriptor(char *d) {
    for (size_t i = 0; i < VOLUME_DATE_COUNT; i++) {
        char *date = d + VOLUME_DATES + i * VOLUME_DATE_BYTES;
        memset(date, '0', VOLUME_DATE_BYTES - 1);
        date[VOLUME_DATE_BYTES - 1] = 0;
    }
}

static void blank_record_dates(struct buf *image) {
    static const char epoch[RECORD_DATE_BYTES] = { 70, 1, 1, 0, 0, 0, 0 };
    char now[RECORD_DATE_BYTES];
    memcpy(now, image->data + FIRST_DESCRIPTOR + ROOT_DATE, sizeof now);
    char *p = image->data, *end = image->data + image->length, *at;
    while ((at = memmem(p, (size_t)(end - p), now, sizeof now))) {
        memcpy(at, epoch, sizeof epoch);
        p = at + sizeof epoch;
    }
}

static void blank_dates(struct buf *image) {
    if (image->length < FIRST_DESCRIPTOR + SECTOR) return;
    blank_record_dates(image);
    for (size_t at = FIRST_DESCRIPTOR; at + SECTOR <= image->length; at += SECTOR) {
        char *sector = image->data + at;
        bool descriptor = memcmp(sector + 1, "CD001", 5) == 0;
        if (descriptor && (*sector == 1 || *sector == 2)) blank_descriptor(sector);
        if (descriptor && *sector == 1) memcpy(sector + VOLUME_ID, "cidata", 6);
        if (!descriptor && memcmp(sector, "INFO ", 5) == 0) memset(sector + 5, 0, SECTOR - 5);
        if (!descriptor) break;
    }
}

static int fill(struct buf *image, const char *meta_data, const char *network_config,
                const char *user_data, struct err *err) {
    struct archive *a CLEANUP(writer_free) = archive_write_new();
    if (archive_write_set_format_iso9660(a) != ARCHIVE_OK ||
        archive_write_set_options(a, "volume-id=cidata,rockridge=useful,joliet,!pad") != ARCHIVE_OK)
        return failed(a, err);
    archive_write_set_bytes_in_last_block(a, 1);
    if (archive_write_open2(a, image, NULL, collect, NULL, NULL) != ARCHIVE_OK)
        return failed(a, err);
    if (add_file(a, "meta-data", meta_data, err) || add_file(a, "user-data", user_data, err))
        return -1;
    if (*network_config && add_file(a, "network-config", network_config, err)) return -1;
    return archive_write_close(a) == ARCHIVE_OK ? 0 : failed(a, err);
}

int seed_write(const char *path, const char *meta_data, const char *network_config,
               const char *user_data, struct err *err) {
    struct buf image AUTO_BUF = BUF_INIT;
    if (fill(&image, meta_data, network_config, user_data, err)) return -1;
    blank_dates(&image);
    return file_write(path, image.data, image.length, 0600, err);
}
