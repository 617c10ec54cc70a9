#include "guest_seed.h"

static char *meta_data(const struct sliver *s) {
    return xasprintf("instance-id: %s\nlocal-hostname: %s\n", s->id, s->name);
}

static char *network_config(const struct sliver *s) {
    if (!s->vnic_count) return xstrdup("version: 2\nethernets: {}\n");
    struct buf b AUTO_BUF = BUF_INIT;
    buf_puts(&b, "version: 2\nethernets:\n");
    for (size_t i = 0; i < s->vnic_count; i++) {
        const struct vnic *v = &s->vnics[i];
        buf_printf(&b, "  %s:\n    match:\n      macaddress: \"%s\"\n    set-name: %s\n    mtu: %lld\n",
                   v->name, v->mac, v->name, (long long)v->mtu);
        if (!json_length(v->addresses)) continue;
        buf_puts(&b, "    addresses:\n");
        for (size_t k = 0; k < json_length(v->addresses); k++)
            buf_printf(&b, "      - %s\n", json_str(json_at(v->addresses, k)));
        if (v->is_public)
            buf_printf(&b, "    routes:\n      - to: 0.0.0.0/0\n        via: %s\n", v->router);
    }
    return buf_steal(&b);
}

/* The user's own user-data goes in whole; without one, a cloud-config with the keys alone. */
static char *user_data(const struct sliver *s, const json *keys) {
    const char *own = json_get_str(s->wanted, "user_data");
    if (own) return xstrdup(own);
    struct buf b AUTO_BUF = BUF_INIT;
    buf_puts(&b, "#cloud-config\n");
    const json *lists[] = { keys, json_get(s->wanted, "ssh_keys") };
    if (json_length(lists[0]) + json_length(lists[1])) buf_puts(&b, "ssh_authorized_keys:\n");
    for (size_t l = 0; l < COUNT_OF(lists); l++)
        for (size_t i = 0; i < json_length(lists[l]); i++) {
            char *quoted AUTO_FREE = json_text(json_at(lists[l], i)); /* JSON strings are YAML */
            buf_printf(&b, "  - %s\n", quoted);
        }
    return buf_steal(&b);
}

json *guest_seed(const struct sliver *s, const json *keys) {
    char *meta AUTO_FREE = meta_data(s), *network AUTO_FREE = network_config(s);
    char *user AUTO_FREE = user_data(s, keys);
    json *j = json_object();
    json_set_str(j, "meta_data", meta);
    json_set_str(j, "network_config", network);
    return json_set_str(j, "user_data", user);
}
