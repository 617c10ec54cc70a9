#include "nodemgr/spec.h"

#include <ctype.h>
#include <stdio.h>

bool mac_valid(const char *text) {
    if (!text || strlen(text) != MAC_TEXT_BYTES - 1) return false;
    for (size_t i = 0; i < MAC_TEXT_BYTES - 1; i++) {
        bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (i % 3 == 2 ? text[i] != ':' : !digit) return false;
    }
    return strchr("02468ace", text[1]) != NULL;
}

/* Copies a member that must be text of at most size - 1 bytes. */
static int take_text(const json *from, const char *key, char *ret, size_t size, struct err *err) {
    const char *text = json_get_str(from, key);
    if (!text || strlen(text) >= size)
        return err_set(err, ERR_INVALID, "/%s: a text of 1 to %zu bytes is needed", key, size - 1);
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

static int take_int(const json *from, const char *key, int64_t min, int64_t max, int64_t *ret,
                    struct err *err) {
    int64_t value = json_get_int(from, key, INT64_MIN);
    if (value < min || value > max)
        return err_set(err, ERR_INVALID, "/%s: a number from %lld to %lld is needed", key,
                       (long long)min, (long long)max);
    *ret = value;
    return 0;
}

static int read_vnic(const json *from, struct spec_vnic *ret, struct err *err) {
    if (take_text(from, "name", ret->name, sizeof ret->name, err) ||
        take_text(from, "mac", ret->mac, sizeof ret->mac, err) ||
        take_int(from, "vni", 1, 16777215, &ret->vni, err))
        return -1;
    for (char *p = ret->mac; *p; p++) *p = (char)tolower((unsigned char)*p);
    if (!mac_valid(ret->mac))
        return err_set(err, ERR_INVALID, "/mac: %s is not the address of one station", ret->mac);
    if (!name_valid(ret->name))
        return err_set(err, ERR_INVALID, "/name: \"%s\" is not a name", ret->name);
    ret->rate_kbps = json_get_int(from, "rate_kbps", 0);
    ret->mtu = json_get_int(from, "mtu", 0);
    if (ret->rate_kbps < 0 || ret->mtu < 0 || ret->mtu > 9216)
        return err_set(err, ERR_INVALID, "vNIC %s: rate or MTU out of range", ret->name);
    return 0;
}

static int read_vnics(const json *list, struct sliver_spec *ret, struct err *err) {
    size_t count = list ? json_length(list) : 0;
    if (count > SPEC_VNICS_MAX)
        return err_set(err, ERR_INVALID, "/vnics: more than %d", SPEC_VNICS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (read_vnic(json_at(list, i), &ret->vnics[i], err))
            return err_wrap(err, "/vnics/%zu", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(ret->vnics[k].name, ret->vnics[i].name) == 0)
                return err_set(err, ERR_INVALID, "/vnics: two are named %s", ret->vnics[i].name);
    }
    ret->vnic_count = count;
    return 0;
}

static int read_image(const json *from, struct sliver_spec *ret, struct err *err) {
    if (take_text(from, "digest", ret->image_digest, sizeof ret->image_digest, err) ||
        take_text(from, "format", ret->image_format, sizeof ret->image_format, err) ||
        take_int(from, "virtual_size_bytes", 1, INT64_C(1) << 46, &ret->image_size_bytes, err))
        return err_wrap(err, "/image");
    /* Both become part of a path. */
    if (!sha256_text_valid(ret->image_digest))
        return err_set(err, ERR_INVALID, "/image/digest: not a SHA-256");
    if (strcmp(ret->image_format, "qcow2") != 0 && strcmp(ret->image_format, "raw") != 0)
        return err_set(err, ERR_INVALID, "/image/format: %s is neither qcow2 nor raw",
                       ret->image_format);
    return 0;
}

static int read_sizes(const json *from, struct sliver_spec *ret, struct err *err) {
    if (take_int(from, "epoch", 1, INT64_C(1) << 52, &ret->epoch, err) ||
        take_int(from, "vcpus", 1, 64, &ret->vcpus, err) ||
        take_int(from, "memory_mib", 16, 1 << 20, &ret->memory_mib, err) ||
        take_int(from, "disk_mib", 1, 1 << 26, &ret->disk_mib, err))
        return -1;
    if (ret->disk_mib * 1048576 >= ret->image_size_bytes) return 0;
    err_set(err, ERR_UNPROCESSABLE, "the disk (%lld MiB) is smaller than its image (%lld bytes)",
            (long long)ret->disk_mib, (long long)ret->image_size_bytes);
    return err_remedy(err, "Ask for a disk of at least %lld MiB.",
                      (long long)((ret->image_size_bytes + 1048575) / 1048576));
}

static int read_all(const json *from, struct sliver_spec *ret, struct err *err) {
    if (take_text(from, "sliver", ret->sliver, sizeof ret->sliver, err) ||
        take_text(from, "urn", ret->urn, sizeof ret->urn, err) ||
        take_text(from, "slice", ret->slice, sizeof ret->slice, err) ||
        take_text(from, "name", ret->name, sizeof ret->name, err))
        return -1;
    if (!uuid_valid(ret->sliver) || !uuid_valid(ret->slice))
        return err_set(err, ERR_INVALID, "/sliver and /slice must be UUIDs");
    if (!urn_is(ret->urn, "sliver", NULL))
        return err_set(err, ERR_INVALID, "/urn: %s does not name a sliver", ret->urn);
    const char *kind = json_get_str(from, "kind");
    if (kind && strcmp(kind, "full") != 0)
        return err_set(err, ERR_UNPROCESSABLE, "this node runs no slivers of kind %s", kind);
    ret->unfenced = json_get_bool(from, "unfenced", false);
    const char *url = json_get_str(from, "store_url");
    if (url && take_text(from, "store_url", ret->store_url, sizeof ret->store_url, err)) return -1;
    if (read_image(json_get(from, "image"), ret, err) || read_sizes(from, ret, err)) return -1;
    return read_vnics(json_get(from, "vnics"), ret, err);
}

int spec_read(const json *document, struct sliver_spec *ret, struct err *err) {
    struct sliver_spec spec = { .document = NULL };
    if (json_kind(document) != JSON_OBJECT)
        return err_set(err, ERR_INVALID, "a SliverSpec must be an object");
    if (read_all(document, &spec, err)) return err_wrap(err, "SliverSpec");
    spec.document = json_copy(document);
    *ret = spec;
    return 0;
}

void spec_done(struct sliver_spec *spec) {
    if (!spec) return;
    json_put(STEAL(spec->document));
}

const char *spec_seed(const struct sliver_spec *spec, const char *which) {
    const char *text = json_get_str(json_get(spec->document, "seed"), which);
    return text ? text : "";
}

int64_t spec_disk_bytes(const struct sliver_spec *spec) { return spec->disk_mib * 1048576; }
