/*
 * What a state is made of at a node: libvirt's save image, and what memory and disk fit into.
 */
#include "nodemgr/save_file.h"
#include "nodemgr/state_about.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLIVER "0f9c2a44-1d2b-4c3d-8e4f-5a6b7c8d9e0f"
#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct err err;

/* --- the save image --- */

static int file_of(const void *data, size_t length) {
    char path[] = "/tmp/jogak-test-save-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    ck_assert_int_eq(write(fd, data, length), (ssize_t)length);
    return fd;
}

START_TEST(a_head_leads_to_its_stream) {
    struct buf image AUTO_BUF = BUF_INIT;
    int64_t at = 0;
    save_file_head("<domain/>", &image);
    size_t head = image.length;
    ck_assert_uint_eq(head, 92 + strlen("<domain/>") + 1);
    ck_assert_mem_eq(image.data, "LibvirtQemudSave", 16);
    buf_add(&image, "QEVM", 4);
    int fd AUTO_FD = file_of(image.data, image.length);
    ck_assert_msg(!save_file_stream(fd, &at, &err), "%s", err.msg);
    ck_assert_int_eq(at, (int64_t)head);
}
END_TEST

static enum err_code refused(size_t at, uint32_t value, size_t length) {
    struct buf image AUTO_BUF = BUF_INIT;
    int64_t stream;
    save_file_head("<domain/>", &image);
    buf_add(&image, "QEVM", 4);
    memcpy(image.data + at, &value, sizeof value);
    int fd AUTO_FD = file_of(image.data, length ? length : image.length);
    err_clear(&err);
    ck_assert_int_eq(save_file_stream(fd, &stream, &err), -1);
    return err.code;
}

START_TEST(what_is_no_save_image_is_refused) {
    ck_assert_int_eq(refused(12, 0x74726150, 0), ERR_INTEGRITY);  /* "LibvirtQemudPart": unfinished */
    ck_assert_int_eq(refused(16, 3, 0), ERR_UNSUPPORTED);         /* another version */
    ck_assert_int_eq(refused(28, 1, 0), ERR_UNSUPPORTED);         /* compressed */
    ck_assert_int_eq(refused(20, 0xffffffff, 0), ERR_INTEGRITY);  /* a document of 4 GiB */
    ck_assert_int_eq(refused(20, 1000, 0), ERR_INTEGRITY);        /* longer than the file */
    ck_assert_int_eq(refused(16, 2, 50), ERR_INTEGRITY);          /* cut short */
    ck_assert_int_eq(refused(16, 2, 102), ERR_INTEGRITY);         /* no stream behind the document */
}
END_TEST

/* --- about --- */

static struct sliver_spec spec_of(int64_t epoch) {
    struct sliver_spec s = { .epoch = epoch, .vcpus = 2, .memory_mib = 128, .disk_mib = 256,
                             .image_size_bytes = 1 << 20, .vnic_count = 1 };
    snprintf(s.sliver, sizeof s.sliver, "%s", SLIVER);
    snprintf(s.image_digest, sizeof s.image_digest, "%s", DIGEST);
    return s;
}

static enum err_code check(const char *text, const struct sliver_spec *spec, bool kvm) {
    char machine[16];
    err_clear(&err);
    return state_about_check(text, spec, kvm, machine, sizeof machine, &err) ? err.code : ERR_NONE;
}

START_TEST(a_state_fits_into_the_next_incarnation) {
    struct sliver_spec then = spec_of(3), now = spec_of(4);
    char machine[64];
    char *text AUTO_FREE = state_about_text(&then, "pc-i440fx-7.2", false);
    ck_assert_msg(!state_about_check(text, &now, false, machine, sizeof machine, &err), "%s", err.msg);
    ck_assert_str_eq(machine, "pc-i440fx-7.2");
}
END_TEST

START_TEST(what_does_not_fit_is_named) {
    struct sliver_spec then = spec_of(3), now = spec_of(4);
    char *text AUTO_FREE = state_about_text(&then, "pc-i440fx-7.2", false);
    ck_assert_int_eq(check(text, &now, false), ERR_NONE);
    ck_assert_int_eq(check(text, &now, true), ERR_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(err.msg, "accel"));
    ck_assert_int_eq(check(text, &then, false), ERR_STALE_EPOCH);
    now.memory_mib = 256;
    ck_assert_int_eq(check(text, &now, false), ERR_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(err.msg, "memory_mib"));
    now = spec_of(4);
    now.vnic_count = 2;
    ck_assert_int_eq(check(text, &now, false), ERR_UNPROCESSABLE);
    now = spec_of(4);
    now.disk_mib = 512;
    ck_assert_int_eq(check(text, &now, false), ERR_UNPROCESSABLE);
    now = spec_of(4);
    now.image_digest[0] = 'b';
    ck_assert_int_eq(check(text, &now, false), ERR_UNPROCESSABLE);
    now = spec_of(4);
    now.sliver[0] = '1';
    ck_assert_int_eq(check(text, &now, false), ERR_UNPROCESSABLE);
}
END_TEST

/* The machine type goes into libvirt's document. */
START_TEST(a_machine_type_is_a_word) {
    struct sliver_spec then = spec_of(3), now = spec_of(4);
    char *quote AUTO_FREE = state_about_text(&then, "pc'/><x y='", false);
    ck_assert_int_eq(check(quote, &now, false), ERR_INVALID);
    char *none AUTO_FREE = state_about_text(&then, "", false);
    ck_assert_int_eq(check(none, &now, false), ERR_INVALID);
    char *endless AUTO_FREE = state_about_text(&then, "pc-i440fx-7.2-and-more", false);
    ck_assert_int_eq(check(endless, &now, false), ERR_INVALID);
    ck_assert_int_eq(check("[]", &now, false), ERR_UNPROCESSABLE);
    ck_assert_int_eq(check("no JSON", &now, false), ERR_INVALID);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("node: states");
    TCase *t = tcase_create("states");
    suite_add_tcase(suite, t);
    tcase_add_test(t, a_head_leads_to_its_stream);
    tcase_add_test(t, what_is_no_save_image_is_refused);
    tcase_add_test(t, a_state_fits_into_the_next_incarnation);
    tcase_add_test(t, what_does_not_fit_is_named);
    tcase_add_test(t, a_machine_type_is_a_word);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
