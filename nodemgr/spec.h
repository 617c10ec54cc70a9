/*
 * SliverSpec: what the aggregate wants one sliver to be, as read from its JSON.
 *
 * The schema (nodemgr#SliverSpec) has been checked by the route table for what comes by HTTP; this
 * reader checks again what the agent relies on, since specs also come back from the database.
 */
#ifndef JOGAK_NODEMGR_SPEC_H
#define JOGAK_NODEMGR_SPEC_H

#include "common/digest.h"
#include "common/ids.h"
#include "common/json.h"

#define SPEC_VNICS_MAX 8
#define SPEC_SEED_MAX 65536 /* bytes of each seed text */
#define MAC_TEXT_BYTES 18

struct spec_vnic {
    char name[64];
    char mac[MAC_TEXT_BYTES]; /* lower case */
    int64_t vni;
    int64_t rate_kbps; /* 0: no cap */
    int64_t mtu;
};
struct sliver_spec {
    char sliver[UUID_TEXT_BYTES];
    char urn[URN_MAX_BYTES];
    char slice[UUID_TEXT_BYTES];
    char name[64];
    int64_t epoch;
    int64_t vcpus, memory_mib, disk_mib;
    char image_digest[SHA256_TEXT_BYTES];
    char image_format[8]; /* "qcow2" or "raw" */
    int64_t image_size_bytes; /* virtual size of the image */
    char store_url[256];
    bool unfenced; /* runs on without a lease */
    size_t vnic_count;
    struct spec_vnic vnics[SPEC_VNICS_MAX];
    json *document; /* the whole of it; owned */
};

/* Borrows document (keeps a reference). Errors: ERR_INVALID, ERR_UNPROCESSABLE (a kind that this
 * agent cannot run, a disk smaller than its image). */
int spec_read(const json *document, struct sliver_spec *ret, struct err *err);
void spec_done(struct sliver_spec *spec);
/* A text of the seed ("meta_data", ...), borrowed; "" when absent. */
const char *spec_seed(const struct sliver_spec *spec, const char *which);
/* Bytes of the sliver's disk. */
int64_t spec_disk_bytes(const struct sliver_spec *spec);

/* Is it a MAC address "02:00:00:00:00:01" in lower case, and not a group address? */
bool mac_valid(const char *text);

#endif
