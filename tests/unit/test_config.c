#include "common/config.h"
#include "common/mem.h"
#include "common/service.h"

#include <check.h>
#include <stdbool.h>
#include <sys/stat.h>

struct sample {
    char *name, *place;
    int64_t port;
    bool loud;
    struct config_entry *pools, *gateways;
};
static const struct config_row rows[] = {
    { "service", "name", CONFIG_STRING, offsetof(struct sample, name), 0, 0, NULL, NULL,
      "Its name." },
    { "service", "port", CONFIG_INT, offsetof(struct sample, port), 1, 65535, "80", NULL,
      "TCP port." },
    { "more", "place", CONFIG_STRING, offsetof(struct sample, place), 0, 0, "", NULL, "Where." },
    { "more", "loud", CONFIG_BOOL, offsetof(struct sample, loud), 0, 0, "no", NULL, "Noise." },
    { "site.*", "pool", CONFIG_TABLE, offsetof(struct sample, pools), 0, 0, NULL, NULL, "Addresses." },
    { "site.*", "gateway", CONFIG_TABLE, offsetof(struct sample, gateways), 0, 0, NULL, NULL, "Who." },
};
static char dir[64], path[96];
static struct err err;
static struct sample s;

static int load(const char *text) {
    ck_assert_int_eq(file_write(path, text, strlen(text), 0600, &err), 0);
    err_clear(&err);
    return config_load(path, rows, COUNT_OF(rows), &s, &err);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/jogak-test-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.conf", dir);
    err_clear(&err);
    memset(&s, 0x5a, sizeof s); /* nothing may depend on what was there */
}

static void teardown(void) {
    unlink(path);
    rmdir(dir);
}

START_TEST(values_and_defaults) {
    ck_assert_msg(load("# a comment\n[service]\nname = the one ; inline\n  port=8080\r\n\n"
                       "[more]\nloud = yes") == 0,
                  "%s", err.msg);
    ck_assert_str_eq(s.name, "the one");
    ck_assert_str_eq(s.place, "");
    ck_assert_int_eq(s.port, 8080);
    ck_assert(s.loud);
    config_free(rows, COUNT_OF(rows), &s);
    config_free(rows, COUNT_OF(rows), &s); /* twice is fine */
}
END_TEST

START_TEST(faults_name_their_line) {
    static const struct {
        const char *text, *at, *what;
    } bad[] = {
        { "[service]\nname = a\nprot = 1\n", ":3: ", "unknown key prot" },
        { "[service]\nname = a\n[server]\nport = 1\n", ":4: ", "unknown section server" },
        { "[service]\nname = a\nport = 0\n", ":3: ", "from 1 to 65535" },
        { "[service]\nport = 99999999999999999999\n", ":2: ", "port must be" },
        { "[service]\nport = 1x\n", ":2: ", "not \"1x\"" },
        { "[service]\nport =\n", ":2: ", "port must be" },
        { "[more]\nloud = maybe\n", ":2: ", "yes or no" },
        { "[service]\nname = a\nname = b\n", ":3: ", "second time" },
        { "[service]\nname = a\n\n  what is this\n", ":4: ", "neither" },
        { "[service\nname = a\n", ":1: ", "neither" },
        { "name = a\n", ":1: ", "unknown section" },
        { "[service]\nname = a\n[site.a]\npool = b\npool = c\n", ":5: ", "second time: pool" },
        { "[service]\nname = a\n[site.a]\npol = b\n", ":4: ", "unknown key pol" },
        { "[service]\nname = a\n[site.]\npool = b\n", ":4: ", "unknown section site." },
        { "[service]\nname = a\n[site.abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij]\npool = b\n",
          ":4: ", "too long" },
        { "[service]\nport = 1\n", "", "name is missing in section [service]" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_msg(load(bad[i].text) == -1, "accepted %s", bad[i].text);
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_msg(strstr(err.msg, bad[i].at) && strstr(err.msg, bad[i].what), "%s", err.msg);
        ck_assert_msg(strstr(err.msg, path) != NULL, "%s", err.msg);
        ck_assert_ptr_null(s.name);
    }
}
END_TEST

START_TEST(families_of_sections) {
    ck_assert_msg(load("[service]\nname = a\n[site.east]\npool = x\n[site.west]\npool = y\n"
                       "gateway = h3\n[site.north]\ngateway = h4\n") == 0,
                  "%s", err.msg);
    ck_assert_str_eq(config_entry_of(s.pools, "east"), "x");
    ck_assert_str_eq(config_entry_of(s.pools, "west"), "y");
    ck_assert_ptr_null(config_entry_of(s.pools, "north"));
    ck_assert_ptr_null(config_entry_of(s.gateways, "east"));
    ck_assert_str_eq(config_entry_of(s.gateways, "north"), "h4");
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    config_print(out, rows, COUNT_OF(rows), &s);
    fclose(out);
    config_free(rows, COUNT_OF(rows), &s);
    ck_assert_ptr_null(s.pools);
    ck_assert_msg(load(text) == 0, "%s in %s", err.msg, text);
    ck_assert_str_eq(config_entry_of(s.pools, "west"), "y");
    ck_assert_str_eq(config_entry_of(s.gateways, "north"), "h4");
    config_free(rows, COUNT_OF(rows), &s);
    free(text);
}
END_TEST

START_TEST(long_lines_and_files) {
    struct buf b AUTO_BUF = BUF_INIT;
    buf_puts(&b, "[service]\nname = ");
    for (int i = 0; i < 5000; i++) buf_puts(&b, "x");
    ck_assert_int_eq(load(b.data), -1);
    ck_assert_msg(strstr(err.msg, ":2: the line is too long") != NULL, "%s", err.msg);
    for (int i = 0; i < 20000; i++) buf_puts(&b, "\n# x");
    ck_assert_int_eq(load(b.data), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(file_write(path, "[service]\0name=a\n", 17, 0600, &err), 0);
    ck_assert_int_eq(config_load(path, rows, COUNT_OF(rows), &s, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
}
END_TEST

START_TEST(missing_file) {
    ck_assert_int_eq(config_load("/nonexistent/x", rows, COUNT_OF(rows), &s, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "name is missing"));
    ck_assert_int_eq(config_load("/nonexistent/x", rows + 1, 3, &s, &err), 0);
    ck_assert_int_eq(s.port, 80);
    config_free(rows + 1, 3, &s);
    struct config_row wrong = rows[1];
    wrong.otherwise = "none";
    ck_assert_int_eq(config_load("/nonexistent/x", &wrong, 1, &s, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
}
END_TEST

START_TEST(what_is_printed_loads_again) {
    ck_assert_int_eq(load("[service]\nname = a\nport = 77\n[more]\nloud = true\nplace = b c\n"), 0);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    config_print(out, rows, COUNT_OF(rows), &s);
    fclose(out);
    config_free(rows, COUNT_OF(rows), &s);
    ck_assert_int_eq(load(text), 0);
    ck_assert_str_eq(s.place, "b c");
    ck_assert_int_eq(s.port, 77);
    ck_assert(s.loud);
    ck_assert_ptr_nonnull(strstr(text, "# TCP port. From 1 to 65535."));
    config_free(rows, COUNT_OF(rows), &s);
    free(text);
}
END_TEST

START_TEST(files) {
    struct stat st;
    ck_assert_int_eq(file_write(path, "one", 3, 0600, &err), 0);
    ck_assert_int_eq(file_write(path, "two2", 4, 0640, &err), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    size_t length;
    char *text AUTO_FREE = file_read(path, 4, &length, &err);
    ck_assert_str_eq(text, "two2");
    ck_assert_uint_eq(length, 4);
    ck_assert_ptr_null(file_read(path, 3, NULL, &err));
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_ptr_null(file_read("/nonexistent", 3, NULL, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ptr_null(file_read(dir, 3, NULL, &err));
    ck_assert_int_eq(file_write("/nonexistent/x", "", 0, 0600, &err), -1);
    char left[128]; /* what a killed writer has left is cleared away */
    snprintf(left, sizeof left, "%s.new", path);
    ck_assert_int_eq(file_write(left, "junk", 4, 0400, &err), 0);
    ck_assert_int_eq(file_write(path, "x", 1, 0600, &err), 0);
    ck_assert_int_eq(access(left, F_OK), -1);
}
END_TEST

START_TEST(directories) {
    char deep[128], part[128];
    snprintf(deep, sizeof deep, "%s/a/b", dir);
    snprintf(part, sizeof part, "%s/a", dir);
    struct stat st;
    for (int i = 0; i < 2; i++) ck_assert_msg(dir_make(deep, 0700, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(stat(deep, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    rmdir(deep);
    rmdir(part);
    ck_assert_int_eq(file_write(path, "", 0, 0600, &err), 0);
    ck_assert_int_eq(dir_make(path, 0700, &err), -1);
    snprintf(deep, sizeof deep, "%s/x", path);
    ck_assert_int_eq(dir_make(deep, 0700, &err), -1);
    ck_assert_int_eq(dir_make("", 0700, &err), -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("config");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, values_and_defaults);
    tcase_add_test(tc, faults_name_their_line);
    tcase_add_test(tc, long_lines_and_files);
    tcase_add_test(tc, missing_file);
    tcase_add_test(tc, what_is_printed_loads_again);
    tcase_add_test(tc, families_of_sections);
    tcase_add_test(tc, files);
    tcase_add_test(tc, directories);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
