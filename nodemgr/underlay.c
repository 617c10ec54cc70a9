#include "nodemgr/underlay.h"

#include "common/log.h"
#include "nodemgr/netdev.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

LOG_MODULE("nm.underlay");

#define DISCARD_PORT 9
#define TIMEOUT_MS 2000

struct underlay {
    struct switch_door *door;
    uint64_t generation; /* of the switch that has the routes */
    json *pinned;        /* peer -> "device gateway" */
    bool told;           /* that one cannot be pinned */
};

struct underlay *underlay_new(struct switch_door *door) {
    struct underlay *u = xcalloc(1, sizeof *u);
    u->door = door;
    u->pinned = json_object();
    return u;
}

void underlay_free(struct underlay *u) {
    if (!u) return;
    json_put(u->pinned);
    free(u);
}

static int pin(struct underlay *u, const char *peer, struct err *err) {
    struct netdev_hop hop;
    if (netdev_route(peer, &hop, err)) return -1;
    AUTO_FREE char *way = xasprintf("%s %s", hop.device, hop.gateway);
    const char *now = json_get_str(u->pinned, peer);
    if (now && strcmp(now, way) == 0) return 0;
    if (switch_pin_route(u->door, peer, hop.device, hop.gateway, TIMEOUT_MS, err)) return -1;
    log_info("a route is pinned", "peer=%s device=%s gateway=%s", peer, hop.device, hop.gateway);
    json_set_str(u->pinned, peer, way);
    return 0;
}

/* A switch that is new to us: its routes are to be pinned again. */
static void meet(struct underlay *u) {
    struct err none = ERR_INIT; /* Open vSwitch is down: the routes cannot be pinned either */
    bool follows = false;
    uint64_t now = switch_generation(u->door);
    if (now == u->generation) return;
    if (switch_follows_host_routes(u->door, &follows, TIMEOUT_MS, &none)) return;
    if (follows)
        log_warn("guests' frames are lost whenever a network device comes or goes",
                 "cause=\"ovs-vswitchd follows the host's routes\" "
                 "remedy=\"start it with --disable-system-route\"");
    json_put(u->pinned);
    u->pinned = json_object();
    u->generation = now;
}

static void pin_all(struct underlay *u, const json *vteps) {
    bool failed = false;
    struct err err = ERR_INIT;
    meet(u);
    for (size_t i = 0; i < json_length(vteps); i++) {
        const char *peer = json_str(json_at(vteps, i));
        struct in_addr address;
        if (!peer || inet_pton(AF_INET, peer, &address) != 1 || !pin(u, peer, &err)) continue;
        if (!u->told && !failed) log_warn("a route is not pinned", "cause=\"%s\"", err.msg);
        failed = true;
        err_clear(&err);
    }
    u->told = failed;
}

static void warm(const json *vteps) {
    int fd AUTO_FD = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    for (size_t i = 0; i < json_length(vteps); i++) {
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(DISCARD_PORT) };
        const char *text = json_str(json_at(vteps, i));
        if (!text || inet_pton(AF_INET, text, &to.sin_addr) != 1) continue;
        (void)!sendto(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to);
    }
}

void underlay_keep(struct underlay *u, const json *vteps) {
    if (switch_routes_itself(u->door)) pin_all(u, vteps);
    warm(vteps);
}
