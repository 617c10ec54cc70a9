#include "nodemgr/state_about.h"

#include <stdio.h>

#define MACHINE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static const char *accel(bool kvm) { return kvm ? "kvm" : "tcg"; }

char *state_about_text(const struct sliver_spec *spec, const char *machine, bool kvm) {
    json *about AUTO_JSON = json_object();
    json_set_int(about, "v", 1);
    json_set_str(about, "sliver", spec->sliver);
    json_set_int(about, "epoch", spec->epoch);
    json_set_str(about, "machine", machine);
    json_set_str(about, "accel", accel(kvm));
    json_set_str(about, "image", spec->image_digest);
    json_set_int(about, "vcpus", spec->vcpus);
    json_set_int(about, "memory_mib", spec->memory_mib);
    json_set_int(about, "disk_bytes", spec_disk_bytes(spec));
    json_set_int(about, "vnics", (int64_t)spec->vnic_count);
    return json_text(about);
}

static int same_number(const json *about, const char *key, int64_t wanted, struct err *err) {
    int64_t has = json_get_int(about, key, -1);
    if (has == wanted) return 0;
    return err_set(err, ERR_UNPROCESSABLE, "the state has %s %lld, the sliver %lld", key,
                   (long long)has, (long long)wanted);
}

static int same_text(const json *about, const char *key, const char *wanted, struct err *err) {
    const char *has = json_get_str(about, key);
    if (has && strcmp(has, wanted) == 0) return 0;
    return err_set(err, ERR_UNPROCESSABLE, "the state is of %s %.64s, here it is %s", key,
                   has ? has : "(none)", wanted);
}

static int fits(const json *about, const struct sliver_spec *spec, bool kvm, struct err *err) {
    return same_number(about, "v", 1, err) || same_text(about, "sliver", spec->sliver, err) ||
                   same_text(about, "image", spec->image_digest, err) ||
                   same_text(about, "accel", accel(kvm), err) ||
                   same_number(about, "vcpus", spec->vcpus, err) ||
                   same_number(about, "memory_mib", spec->memory_mib, err) ||
                   same_number(about, "disk_bytes", spec_disk_bytes(spec), err) ||
                   same_number(about, "vnics", (int64_t)spec->vnic_count, err)
               ? -1
               : 0;
}

int state_about_check(const char *text, const struct sliver_spec *spec, bool kvm,
                      char *ret_machine, size_t machine_bytes, struct err *err) {
    json *about AUTO_JSON = json_parse(text, strlen(text), err);
    if (!about) return err_wrap(err, "read what the state is about");
    if (fits(about, spec, kvm, err)) return -1;
    const char *machine = json_get_str(about, "machine");
    if (!machine || !*machine || strlen(machine) >= machine_bytes ||
        machine[strspn(machine, MACHINE_CHARACTERS)])
        return err_set(err, ERR_INVALID, "the state names no machine type");
    if (json_get_int(about, "epoch", 0) >= spec->epoch)
        return err_set(err, ERR_STALE_EPOCH, "the state is of epoch %lld, the sliver of %lld",
                       (long long)json_get_int(about, "epoch", 0), (long long)spec->epoch);
    snprintf(ret_machine, machine_bytes, "%s", machine);
    return 0;
}
