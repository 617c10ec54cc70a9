/* Identity, configuration, credentials on disk, and learning where the services are. */
#include "cli_fixture.h"

#include "common/pki.h"

#include <sys/stat.h>

static char path[160];
static const char *in_dir(const char *name) {
    snprintf(path, sizeof path, "%s/%s", cli_dir, name);
    return path;
}

static void put(const char *name, const char *text) {
    ck_assert_int_eq(file_write(in_dir(name), text, strlen(text), 0600, NULL), 0);
}

static mode_t mode_of(const char *name) {
    struct stat st;
    ck_assert_int_eq(stat(in_dir(name), &st), 0);
    return st.st_mode & 0777;
}

/* An identity as a login leaves it, good for a day; the key may be another one's. */
static void make_identity(const char *urn, bool foreign_key) {
    struct err err = ERR_INIT;
    char *ca_key = pki_key_new(&err), *key = pki_key_new(&err), *other = pki_key_new(&err);
    char *ca AUTO_FREE = pki_authority_new(ca_key, CLI_URN "authority+ca", 30, &err);
    char *csr AUTO_FREE = pki_csr_new(key, NULL, &err);
    struct pki_issue issue = { .ca_key_pem = ca_key, .ca_cert_pem = ca, .csr_pem = csr, .urn = urn,
                               .uses = PKI_USE_CLIENT,
                               .not_after_ms = (time(NULL) + 86400) * 1000LL };
    char *cert AUTO_FREE = pki_issue(&issue, &err);
    ck_assert_msg(cert != NULL, "%s", err.msg);
    put("identity.key", foreign_key ? other : key);
    put("identity.ca", ca);
    put("identity.crt", cert);
    put("config", "[jogak]\nclearinghouse = " CLI_HOUSE "\nslice = demo:ring\n");
    pki_wipe(ca_key);
    pki_wipe(key);
    pki_wipe(other);
}

/* So many days after the real one, for which certificates are made. */
static int open_after(int days, struct session *s, struct err *err) {
    setenv("JOGAK_HOME", cli_dir, 1);
    cli_now_ms = (time(NULL) + days * 86400) * 1000LL;
    return session_open(s, err);
}

START_TEST(an_identity_is_loaded) {
    struct err err = ERR_INIT;
    struct session s = { 0 };
    make_identity(CLI_URN "user+kim", false);
    ck_assert_msg(open_after(0, &s, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(s.urn, CLI_URN "user+kim");
    ck_assert_str_eq(s.authority, "example.org");
    ck_assert_str_eq(s.config.clearinghouse, CLI_HOUSE);
    ck_assert_str_eq(session_slice(&s), "demo:ring");
    session_close(&s);
    session_close(&s);
}
END_TEST

START_TEST(what_cannot_be_used_says_so) {
    struct err err = ERR_INIT;
    struct session s = { 0 };
    ck_assert_int_eq(open_after(0, &s, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "you have not logged in yet"));
    ck_assert_ptr_nonnull(strstr(err.remedy, "jogak login --token"));
    session_close(&s);
    make_identity(CLI_URN "user+kim", true);
    ck_assert_int_eq(open_after(0, &s, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "cannot be used"));
    session_close(&s);
    make_identity(CLI_URN "user+kim", false);
    ck_assert_int_eq(open_after(2, &s, &err), -1);
    ck_assert_str_eq(err.msg, "your certificate has expired");
    session_close(&s);
    put("config", "[jogak]\nslise = demo:ring\n");
    ck_assert_int_eq(open_after(0, &s, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.msg, "config:2: "));
    session_close(&s);
}
END_TEST

START_TEST(choices_are_kept) {
    ck_assert_int_eq(CLI_CALL("slice use demo:star", { "GET /v1/slices/demo:star", 200, "{}", NULL }), 0);
    char *text AUTO_FREE = file_read(in_dir("config"), 65536, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(text, "\nslice = demo:star\n"));
    ck_assert_int_eq(mode_of("config"), 0600);
    ck_assert_int_eq(CLI_CALL("slice use demo:none", { "GET /v1/slices/demo:none", 404,
        "{\"code\":\"not_found\",\"detail\":\"no slice demo:none\"}", NULL }), 1);
    char *same AUTO_FREE = file_read(in_dir("config"), 65536, NULL, NULL);
    ck_assert_str_eq(text, same);
}
END_TEST

#define NO_SLIVERS { "GET /v1/slivers?slice=demo:ring", 200, "{\"items\":[]}", NULL }

START_TEST(credentials_are_kept_private_and_to_their_owner) {
    ck_assert_int_eq(CLI_CALL("sliver list", GIVE_CREDENTIAL, NO_SLIVERS), 0);
    ck_assert_int_eq(mode_of("credentials"), 0700);
    ck_assert_int_eq(mode_of("credentials/demo:ring.json"), 0600);
    ck_assert_int_eq(CLI_CALL("sliver list", NO_SLIVERS), 0);
    static const char *const others[] = {
        "{\"credential\":\"x\",\"owner\":\"" CLI_URN "user+eve\",\"expires\":\"2026-11-24T10:00:00Z\"}",
        "{\"credential\":\"x\",\"owner\":\"" CLI_URN "user+kim\",\"expires\":\"2026-11-23T10:00:30Z\"}",
        "{\"credential\":\"x\",\"owner\":\"" CLI_URN "user+kim\",\"expires\":\"later\"}",
        "{\"owner\":\"" CLI_URN "user+kim\",\"expires\":\"2026-11-24T10:00:00Z\"}", "{", "[]", "",
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        put("credentials/demo:ring.json", others[i]);
        ck_assert_int_eq(CLI_CALL("sliver list", GIVE_CREDENTIAL, NO_SLIVERS), 0);
        ck_assert_str_eq(cli_credential, "cred-slice");
    }
}
END_TEST

START_TEST(a_slice_that_was_shut_down_has_no_credential_left) {
    ck_assert_int_eq(CLI_CALL("sliver list", GIVE_CREDENTIAL, NO_SLIVERS), 0);
    ck_assert_int_eq(CLI_CALL("slice shutdown -y", { "POST /v1/slices/demo:ring/shutdown", 200, "{}", NULL }), 0);
    ck_assert_int_ne(access(in_dir("credentials/demo:ring.json"), F_OK), 0);
}
END_TEST

#define SERVICES \
    "{\"items\":[{\"urn\":\"" CLI_URN "am+one\",\"type\":\"am\",\"name\":\"one\",\"url\":\"https://10.0.0.1:8402\"}," \
    "{\"urn\":\"" CLI_URN "am+two\",\"type\":\"am\",\"name\":\"two\",\"url\":\"https://10.0.0.2:8402\"}]}"

START_TEST(services_are_learnt) {
    static const struct cli_step script[] = {
        { "GET /v1/services?limit=1000", 200, SERVICES, NULL },
        { "GET /v1/services?limit=1000", 200, SERVICES, NULL }, /* the store is not among them */
        { "GET /v1", 200, "{\"store_url\":\"https://10.0.0.9:8403\"}", NULL },
    };
    struct err err = ERR_INIT;
    struct session s = { 0 };
    const char *url, *urn;
    cli_fill(&s);
    cli_script = script, cli_at = 0, cli_count = COUNT_OF(script);
    session_set(&s.config.aggregate, NULL);
    session_set(&s.config.store, NULL);
    ck_assert_int_eq(session_service(&s, SESSION_AGGREGATE, &url, &urn, &err), 0);
    ck_assert_str_eq(url, "https://10.0.0.1:8402");
    ck_assert_str_eq(urn, CLI_URN "am+one");
    ck_assert_int_eq(session_service(&s, SESSION_STORE, &url, &urn, &err), 0);
    ck_assert_str_eq(url, "https://10.0.0.9:8403");
    ck_assert_ptr_null(urn);
    ck_assert_uint_eq(cli_at, cli_count);
    session_close(&s);
}
END_TEST

START_TEST(one_of_several_aggregates_is_chosen) {
    ck_assert_int_eq(CLI_CALL("service use aggregate two", { "GET /v1/services", 200, SERVICES, NULL }), 0);
    char *text AUTO_FREE = file_read(in_dir("config"), 65536, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(text, "\naggregate = https://10.0.0.2:8402\n"));
    ck_assert_ptr_nonnull(strstr(text, "\naggregate_urn = " CLI_URN "am+two\n"));
    ck_assert_int_eq(CLI_CALL("service use aggregate six", { "GET /v1/services", 200, SERVICES, NULL }), 1);
    ck_assert_int_eq(CLI_QUIET("service use node h1"), 2);
}
END_TEST

START_TEST(tokens_that_are_none) {
    char line[200];
    put("token", "not a token\n");
    snprintf(line, sizeof line, "login --token %s", in_dir("token"));
    ck_assert_int_eq(CLI_QUIET(line), 1);
    ck_assert_ptr_nonnull(strstr(cli_notes, "the enrolment token cannot be read"));
    snprintf(line, sizeof line, "login --token %s", in_dir("nothing"));
    ck_assert_int_eq(CLI_QUIET(line), 1);
    ck_assert_ptr_nonnull(strstr(cli_notes, "No such file"));
    ck_assert_int_ne(access(in_dir("identity.crt"), F_OK), 0);
}
END_TEST

static void add(TCase *t) {
    tcase_add_test(t, an_identity_is_loaded);
    tcase_add_test(t, what_cannot_be_used_says_so);
    tcase_add_test(t, choices_are_kept);
    tcase_add_test(t, credentials_are_kept_private_and_to_their_owner);
    tcase_add_test(t, a_slice_that_was_shut_down_has_no_credential_left);
    tcase_add_test(t, services_are_learnt);
    tcase_add_test(t, one_of_several_aggregates_is_chosen);
    tcase_add_test(t, tokens_that_are_none);
}

int main(void) { return cli_suite("cli.session", add); }
