#include "nodemgr/seed.h"

#include "common/mem.h"
#include "common/service.h"

#include <archive.h>
#include <archive_entry.h>
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[] = "/tmp/jogak-seed-XXXXXX";

static char *path(const char *name) { return xasprintf("%s/%s", directory, name); }

static char *image(const char *name, const char *network, size_t *ret_length) {
    struct err err = ERR_INIT;
    char *file AUTO_FREE = path(name);
    ck_assert_msg(seed_write(file, "instance-id: x\n", network, "#cloud-config\n", &err) == 0, "%s",
                  err.msg);
    char *bytes = file_read(file, 1u << 20, ret_length, &err);
    ck_assert_ptr_nonnull(bytes);
    unlink(file);
    return bytes;
}

/* The same texts, a second later, give the same bytes. */
START_TEST(deterministic) {
    size_t one_length, two_length, three_length;
    char *one AUTO_FREE = image("one", "version: 2\n", &one_length);
    sleep(1);
    char *two AUTO_FREE = image("two", "version: 2\n", &two_length);
    char *three AUTO_FREE = image("three", "version: 1\n", &three_length);
    ck_assert_uint_eq(one_length, two_length);
    ck_assert_mem_eq(one, two, one_length);
    ck_assert(three_length != one_length || memcmp(one, three, one_length) != 0);
}
END_TEST

START_TEST(volume_label) {
    size_t length;
    char *bytes AUTO_FREE = image("label", "version: 2\n", &length);
    ck_assert_uint_gt(length, 32808 + 6);
    ck_assert_mem_eq(bytes + 32769, "CD001", 5);
    ck_assert_mem_eq(bytes + 32808, "cidata", 6);
}
END_TEST

/* Reads it back with the library's reader: names as cloud-init looks for them, and contents. */
static int count_files(const char *network, char *ret_network, size_t size) {
    size_t length;
    char *bytes AUTO_FREE = image("back", network, &length);
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    int files = 0;
    archive_read_support_format_iso9660(a);
    ck_assert_int_eq(archive_read_open_memory(a, bytes, length), ARCHIVE_OK);
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(e);
        if (strcmp(name, ".") == 0) continue;
        files++;
        if (strcmp(name, "network-config") != 0) continue;
        la_ssize_t n = archive_read_data(a, ret_network, size - 1);
        ck_assert_int_ge(n, 0);
        ret_network[n] = '\0';
    }
    archive_read_free(a);
    return files;
}

START_TEST(contents) {
    char network[256] = "";
    ck_assert_int_eq(count_files("version: 2\nethernets: {}\n", network, sizeof network), 3);
    ck_assert_str_eq(network, "version: 2\nethernets: {}\n");
    network[0] = '\0';
    ck_assert_int_eq(count_files("", network, sizeof network), 2);
    ck_assert_str_eq(network, "");
}
END_TEST

START_TEST(no_such_place) {
    struct err err = ERR_INIT;
    ck_assert_int_eq(seed_write("/nonexistent/seed.iso", "a", "", "b", &err), -1);
    ck_assert_int_ne(err.code, ERR_NONE);
}
END_TEST

int main(void) {
    if (!mkdtemp(directory)) return 1;
    Suite *suite = suite_create("seed");
    TCase *tc = tcase_create("seed");
    tcase_add_test(tc, deterministic);
    tcase_add_test(tc, volume_label);
    tcase_add_test(tc, contents);
    tcase_add_test(tc, no_such_place);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    rmdir(directory);
    return failed != 0;
}
