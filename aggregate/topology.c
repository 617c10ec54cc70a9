#include "topology.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Does list[i][key] equal list[j][key] for some j < i? */
static bool repeated(const json *list, size_t i, const char *key) {
    const char *value = json_get_str(json_at(list, i), key);
    for (size_t j = 0; value && j < i; j++) {
        const char *other = json_get_str(json_at(list, j), key);
        if (other && strcmp(value, other) == 0) return true;
    }
    return false;
}

static int check_names(const json *list, const char *where, struct err *err) {
    for (size_t i = 0; i < json_length(list); i++)
        if (repeated(list, i, "name"))
            return err_set(err, ERR_UNPROCESSABLE, "%s/%zu/name: \"%s\" is used twice", where, i,
                           json_get_str(json_at(list, i), "name"));
    return 0;
}

/* "10.1.0.1/24", or one address alone; host order. ret_mask may be NULL. */
static int ipv4_network(const char *text, uint32_t *ret, uint32_t *ret_mask) {
    char address[INET_ADDRSTRLEN];
    struct in_addr a;
    size_t length = strcspn(text, "/");
    if (length >= sizeof address) return -1;
    snprintf(address, sizeof address, "%.*s", (int)length, text);
    if (inet_pton(AF_INET, address, &a) != 1) return -1;
    long bits = text[length] ? strtol(text + length + 1, NULL, 10) : 32; /* the schema has checked it */
    *ret = ntohl(a.s_addr);
    if (ret_mask) *ret_mask = bits > 0 ? UINT32_MAX << (32 - bits) : 0;
    return 0;
}

static const json *by_name(const json *list, const char *name) {
    for (size_t i = 0; i < json_length(list); i++) {
        const char *other = json_get_str(json_at(list, i), "name");
        if (other && name && strcmp(other, name) == 0) return json_at(list, i);
    }
    return NULL;
}

/* seen: object of "link address" and "mac" strings that were met. */
static int check_unique(json *seen, const char *pointer, const char *what, const char *key,
                        struct err *err) {
    if (json_has(seen, key))
        return err_set(err, ERR_UNPROCESSABLE, "%s: %s is given twice", pointer, what);
    json_set_bool(seen, key, true);
    return 0;
}

/* Of the vNIC's own addresses the first IPv4 one is translated; the link's router must be in its network. */
static bool reaches(const json *vnic, const char *router) {
    const json *addresses = json_get(vnic, "addresses");
    for (size_t i = 0; i < json_length(addresses); i++) {
        uint32_t mine, other, mask;
        if (ipv4_network(json_str(json_at(addresses, i)), &mine, &mask) || ipv4_network(router, &other, NULL))
            continue;
        return (mine & mask) == (other & mask);
    }
    return false;
}

static int check_public(const json *topology, const json *vnics, size_t k, const char *pointer,
                        struct err *err) {
    const json *vnic = json_at(vnics, k);
    if (!json_get_bool(vnic, "public", false)) return 0;
    for (size_t i = 0; i < k; i++)
        if (json_get_bool(json_at(vnics, i), "public", false))
            return err_set(err, ERR_UNPROCESSABLE, "%s/public: a sliver has one public vNIC at most", pointer);
    const json *link = by_name(json_get(topology, "links"), json_get_str(vnic, "link"));
    const char *router = json_get_str(link, "router"), *name = json_get_str(link, "name");
    if (!router) {
        err_set(err, ERR_UNPROCESSABLE, "%s/public: its link %s has no router", pointer, name ? name : "");
        return err_remedy(err, "give the link a free address of its network as the way out, e.g. router: 10.1.0.254");
    }
    if (reaches(vnic, router)) return 0;
    err_set(err, ERR_UNPROCESSABLE, "%s/public: its first IPv4 address is not in the network of the router %s",
            pointer, router);
    return err_remedy(err, "give it one under addresses:, with the length of the network, as in 10.1.0.1/24");
}

static int check_routers(const json *topology, json *seen, struct err *err) {
    const json *links = json_get(topology, "links");
    for (size_t i = 0; i < json_length(links); i++) {
        const char *router = json_get_str(json_at(links, i), "router");
        char key[128], pointer[64];
        if (!router) continue;
        snprintf(pointer, sizeof pointer, "/links/%zu/router", i);
        snprintf(key, sizeof key, "%s %s", json_get_str(json_at(links, i), "name"), router);
        if (check_unique(seen, pointer, router, key, err)) return -1;
    }
    return 0;
}

static int check_vnic(const json *topology, const json *vnic, const char *pointer, json *seen,
                      struct err *err) {
    const char *link = json_get_str(vnic, "link");
    if (!by_name(json_get(topology, "links"), link)) {
        err_set(err, ERR_UNPROCESSABLE, "%s/link: there is no link \"%s\"", pointer, link);
        return err_remedy(err, "declare it under links:");
    }
    const char *mac = json_get_str(vnic, "mac");
    if (mac && check_unique(seen, pointer, mac, mac, err)) return -1;
    const json *addresses = json_get(vnic, "addresses");
    for (size_t i = 0; i < json_length(addresses); i++) {
        const char *address = json_str(json_at(addresses, i));
        char key[128];
        snprintf(key, sizeof key, "%s %.*s", link, (int)strcspn(address, "/"), address);
        if (check_unique(seen, pointer, address, key, err)) return -1;
    }
    return 0;
}

int topology_check(const json *topology, struct err *err) {
    const json *slivers = json_get(topology, "slivers");
    json *seen AUTO_JSON = json_object();
    if (check_names(slivers, "/slivers", err) ||
        check_names(json_get(topology, "links"), "/links", err) || check_routers(topology, seen, err))
        return -1;
    for (size_t i = 0; i < json_length(slivers); i++) {
        const json *vnics = json_get(json_at(slivers, i), "vnics");
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/slivers/%zu/vnics", i);
        if (check_names(vnics, pointer, err)) return -1;
        for (size_t k = 0; k < json_length(vnics); k++) {
            snprintf(pointer, sizeof pointer, "/slivers/%zu/vnics/%zu", i, k);
            if (check_vnic(topology, json_at(vnics, k), pointer, seen, err) ||
                check_public(topology, vnics, k, pointer, err))
                return -1;
        }
    }
    return 0;
}

const json *topology_sliver(const json *topology, const char *name) {
    return by_name(json_get(topology, "slivers"), name);
}

/* What of a running sliver differs from the file so that it has to be made anew; NULL: nothing.
 * `node` says where to start and `migration` how to move: neither is a reason. */
static const char *difference(const json *wanted, const json *have) {
    static const char *const fields[] = { "image", "kind",   "vcpus",    "memory_mib",
                                          "disk_mib", "vnics", "user_data" };
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (!json_equal(json_get(wanted, fields[i]), json_get(have, fields[i]))) return fields[i];
    return NULL;
}

/* A guest learns the MTU of its links when it is made. */
static bool other_mtu(const json *topology, const struct sliver *have) {
    for (size_t i = 0; i < have->vnic_count; i++) {
        const struct vnic *v = &have->vnics[i];
        const json *link = by_name(json_get(topology, "links"), v->link);
        if (link && json_get_int(link, "mtu", TOPOLOGY_MTU) != v->mtu) return true;
    }
    return false;
}

/* Nor does it learn of another way out. */
static bool other_router(const json *topology, const struct sliver *have) {
    const struct vnic *v = sliver_public_vnic(have);
    const json *link = v ? by_name(json_get(topology, "links"), v->link) : NULL;
    const char *router = json_get_str(link, "router");
    return v && router && strcmp(router, v->router) != 0;
}

json *topology_plan(const json *topology, const struct sliver_list *there) {
    json *create = json_array(), *replace = json_array(), *drop = json_array();
    json *keep = json_array();
    const json *slivers = json_get(topology, "slivers");
    for (size_t i = 0; i < json_length(slivers); i++) {
        const json *want = json_at(slivers, i);
        const char *name = json_get_str(want, "name"), *why = NULL;
        const struct sliver *have = NULL;
        for (size_t k = 0; k < there->count; k++)
            if (strcmp(there->rows[k].name, name) == 0) have = &there->rows[k];
        if (have && strcmp(have->state, "failed") == 0) why = "failed";
        else if (have) why = difference(want, have->wanted);
        if (have && !why && other_mtu(topology, have)) why = "mtu";
        if (have && !why && other_router(topology, have)) why = "router";
        if (!have) json_add(create, json_string(name));
        else if (!why) json_add(keep, json_string(name));
        else json_add(replace, json_set_str(json_set_str(json_object(), "name", name), "why", why));
    }
    for (size_t k = 0; k < there->count; k++)
        if (!topology_sliver(topology, there->rows[k].name))
            json_add(drop, json_string(there->rows[k].name));
    json *plan = json_object();
    json_set(plan, "create", create);
    json_set(plan, "replace", replace);
    json_set(plan, "delete", drop);
    return json_set(plan, "keep", keep);
}
