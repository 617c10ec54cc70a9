/*
 * The libvirt document of one sliver.
 *
 * Both ends of a migration make it from the same SliverSpec, and libvirt compares the two: so the
 * devices and their order depend on the spec alone, and only names and paths carry the epoch.
 */
#ifndef JOGAK_NODEMGR_DOMAIN_XML_H
#define JOGAK_NODEMGR_DOMAIN_XML_H

#include "nodemgr/spec.h"

#define DOMAIN_NAME_BYTES 48
#define DOMAIN_XML_NAMESPACE "https://jogak.example/ns/domain/1"

struct domain_xml {
    const struct sliver_spec *spec;
    bool kvm;              /* else QEMU's own translation (TCG) */
    const char *cpu_model; /* "": QEMU's default */
    const char *disk_path, *seed_path, *console_path;
    const char *const *taps; /* one name per vNIC of the spec, in order */
};
/* Returns the document. */
char *domain_xml(const struct domain_xml *what);

/* "jogak-<first 8 hexadecimal digits>-e<epoch>" */
char *domain_name(const char *sliver, int64_t epoch, char ret[DOMAIN_NAME_BYTES]);
/* The epoch in such a name; 0 when the name is none of ours. */
int64_t domain_name_epoch(const char *name);

#endif
