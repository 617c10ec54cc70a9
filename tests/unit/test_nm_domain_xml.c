#include "nodemgr/domain_xml.h"

#include <check.h>

static const char spec_text[] =
    "{\"sliver\":\"11111111-2222-4333-8444-555555555555\","
    "\"urn\":\"urn:publicid:IDN+example.org:demo+sliver+one\","
    "\"slice\":\"21111111-2222-4333-8444-555555555555\",\"name\":\"one\",\"epoch\":7,"
    "\"kind\":\"full\",\"vcpus\":2,\"memory_mib\":128,\"disk_mib\":256,"
    "\"image\":{\"digest\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
    "\"format\":\"qcow2\",\"virtual_size_bytes\":67108864},"
    "\"vnics\":[{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"vni\":100,\"mtu\":1400}]}";

static const char golden[] =
    "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
    "  <name>jogak-11111111-e7</name>\n"
    "  <uuid>11111111-2222-4333-8444-555555555555</uuid>\n"
    "  <metadata>\n"
    "    <jogak:sliver xmlns:jogak='https://jogak.example/ns/domain/1'"
    " urn='urn:publicid:IDN+example.org:demo+sliver+one' epoch='7'/>\n"
    "  </metadata>\n"
    "  <memory unit='MiB'>128</memory>\n"
    "  <vcpu placement='static'>2</vcpu>\n"
    "  <os>\n    <type arch='x86_64' machine='pc'>hvm</type>\n    <boot dev='hd'/>\n  </os>\n"
    "  <features>\n    <acpi/>\n    <apic/>\n  </features>\n"
    "  <cpu mode='custom' match='exact' check='none'>\n"
    "    <model fallback='forbid'>qemu64</model>\n"
    "  </cpu>\n"
    "  <clock offset='utc'/>\n"
    "  <on_poweroff>destroy</on_poweroff>\n"
    "  <on_reboot>restart</on_reboot>\n"
    "  <on_crash>destroy</on_crash>\n"
    "  <devices>\n"
    "    <controller type='usb' model='none'/>\n"
    "    <disk type='file' device='disk'>\n"
    "      <driver name='qemu' type='qcow2' discard='unmap'/>\n"
    "      <source file='/d&amp;&apos;&lt;/disk'/>\n"
    "      <target dev='vda' bus='virtio'/>\n"
    "    </disk>\n"
    "    <disk type='file' device='disk'>\n"
    "      <driver name='qemu' type='raw'/>\n"
    "      <source file='/seed'/>\n"
    "      <target dev='vdb' bus='virtio'/>\n"
    "      <readonly/>\n"
    "    </disk>\n"
    "    <interface type='ethernet'>\n"
    "      <mac address='02:00:00:00:00:01'/>\n"
    "      <target dev='jg0' managed='no'/>\n"
    "      <model type='virtio'/>\n"
    "      <driver name='qemu'>\n        <host csum='off'/>\n      </driver>\n"
    "      <mtu size='1400'/>\n"
    "    </interface>\n"
    "    <serial type='unix'>\n"
    "      <source mode='bind' path='/console'/>\n"
    "      <target port='0'/>\n"
    "    </serial>\n"
    "    <rng model='virtio'>\n      <backend model='random'>/dev/urandom</backend>\n    </rng>\n"
    "    <memballoon model='none'/>\n"
    "  </devices>\n"
    "  <qemu:capabilities>\n"
    "    <qemu:del capability='cpu-unavailable-features'/>\n"
    "  </qemu:capabilities>\n"
    "</domain>\n";

static json *spec_json(void) {
    struct err err = ERR_INIT;
    json *j = json_parse(spec_text, strlen(spec_text), &err);
    ck_assert_msg(j != NULL, "%s", err.msg);
    return j;
}

START_TEST(the_document) {
    struct err err = ERR_INIT;
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    json *document AUTO_JSON = spec_json();
    const char *taps[] = { "jg0" };
    ck_assert_msg(spec_read(document, &spec, &err) == 0, "%s", err.msg);
    struct domain_xml what = { .spec = &spec, .cpu_model = "", .disk_path = "/d&'</disk",
                               .seed_path = "/seed", .console_path = "/console", .taps = taps };
    char *xml AUTO_FREE = domain_xml(&what);
    ck_assert_str_eq(xml, golden);
    what.kvm = true;
    what.cpu_model = "Westmere";
    char *other AUTO_FREE = domain_xml(&what);
    ck_assert_ptr_nonnull(strstr(other, "<domain type='kvm' "));
    ck_assert_ptr_nonnull(strstr(other, "<model fallback='forbid'>Westmere</model>"));
}
END_TEST

START_TEST(names) {
    char name[DOMAIN_NAME_BYTES];
    ck_assert_str_eq(domain_name("11111111-2222-4333-8444-555555555555", 12, name),
                     "jogak-11111111-e12");
    ck_assert_int_eq(domain_name_epoch(name), 12);
    static const char *const strangers[] = { "", "jogak", "jogak-", "jogak-11111111", "vm1",
                                             "jogak-11111111-e", "jogak-11111111-ex",
                                             "jogak-11111111-e1x", "jogak-11111111e12",
                                             "jogak-11111111-e99999999999999999999" };
    for (size_t i = 0; i < COUNT_OF(strangers); i++)
        ck_assert_msg(domain_name_epoch(strangers[i]) == 0, "%s", strangers[i]);
    ck_assert_int_eq(domain_name_epoch(NULL), 0);
}
END_TEST

struct bad_spec {
    const char *key, *value; /* JSON; NULL removes the member */
    enum err_code code;
};
static const struct bad_spec bad_specs[] = {
    { "sliver", "\"../../etc\"", ERR_INVALID },
    { "sliver", NULL, ERR_INVALID },
    { "urn", "\"urn:publicid:IDN+a+slice+b\"", ERR_INVALID },
    { "kind", "\"os\"", ERR_UNPROCESSABLE },
    { "epoch", "0", ERR_INVALID },
    { "epoch", "\"1\"", ERR_INVALID },
    { "memory_mib", "8", ERR_INVALID },
    { "vcpus", "65", ERR_INVALID },
    { "disk_mib", "63", ERR_UNPROCESSABLE },
    { "image", "{}", ERR_INVALID },
    { "image", "{\"digest\":\"../x\",\"format\":\"raw\",\"virtual_size_bytes\":1}", ERR_INVALID },
    { "image",
      "{\"digest\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
      "\"format\":\"vmdk\",\"virtual_size_bytes\":1}",
      ERR_INVALID },
    { "vnics", "[{\"name\":\"a\",\"mac\":\"03:00:00:00:00:01\",\"vni\":1}]", ERR_INVALID },
    { "vnics", "[{\"name\":\"a b\",\"mac\":\"02:00:00:00:00:01\",\"vni\":1}]", ERR_INVALID },
    { "vnics", "[{\"name\":\"a\",\"mac\":\"02:00:00:00:00:01\",\"vni\":16777216}]", ERR_INVALID },
    { "vnics",
      "[{\"name\":\"a\",\"mac\":\"02:00:00:00:00:01\",\"vni\":1},"
      "{\"name\":\"a\",\"mac\":\"02:00:00:00:00:02\",\"vni\":1}]",
      ERR_INVALID },
};

START_TEST(refused) {
    const struct bad_spec *bad = &bad_specs[_i];
    struct err err = ERR_INIT;
    struct sliver_spec spec CLEANUP(spec_done) = { .document = NULL };
    json *document AUTO_JSON = spec_json();
    if (bad->value) json_set(document, bad->key, json_parse(bad->value, strlen(bad->value), &err));
    else json_del(document, bad->key);
    ck_assert_int_eq(spec_read(document, &spec, &err), -1);
    ck_assert_msg(err.code == bad->code, "%s: %s", bad->key, err.msg);
}
END_TEST

START_TEST(macs) {
    ck_assert(mac_valid("02:00:00:00:00:01"));
    ck_assert(!mac_valid("01:00:00:00:00:01"));
    ck_assert(!mac_valid("02:00:00:00:00:0G"));
    ck_assert(!mac_valid("02:00:00:00:00"));
    ck_assert(!mac_valid("02-00-00-00-00-01"));
    ck_assert(!mac_valid(NULL));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("domain_xml");
    TCase *tc = tcase_create("domain_xml");
    tcase_add_test(tc, the_document);
    tcase_add_test(tc, names);
    tcase_add_loop_test(tc, refused, 0, (int)COUNT_OF(bad_specs));
    tcase_add_test(tc, macs);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
