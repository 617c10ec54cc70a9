#include "nodemgr/domain_xml.h"

#include <errno.h>
#include <stdio.h>

#define DEFAULT_CPU "qemu64"
#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

/* Text within an element or an attribute in single quotes. */
static void put_text(struct buf *b, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<': buf_puts(b, "&lt;"); break;
        case '>': buf_puts(b, "&gt;"); break;
        case '&': buf_puts(b, "&amp;"); break;
        case '\'': buf_puts(b, "&apos;"); break;
        case '"': buf_puts(b, "&quot;"); break;
        default: buf_add(b, text, 1);
        }
    }
}

static void put_attribute(struct buf *b, const char *before, const char *text, const char *after) {
    buf_puts(b, before);
    put_text(b, text);
    buf_puts(b, after);
}

static void put_identity(struct buf *b, const struct domain_xml *what) {
    char name[DOMAIN_NAME_BYTES];
    buf_printf(b, "<domain type='%s' xmlns:qemu='" QEMU_NAMESPACE "'>\n",
               what->kvm ? "kvm" : "qemu");
    buf_printf(b, "  <name>%s</name>\n", domain_name(what->spec->sliver, what->spec->epoch, name));
    buf_printf(b, "  <uuid>%s</uuid>\n", what->spec->sliver);
    buf_puts(b, "  <metadata>\n    <jogak:sliver xmlns:jogak='" DOMAIN_XML_NAMESPACE "'");
    put_attribute(b, " urn='", what->spec->urn, "'");
    buf_printf(b, " epoch='%lld'/>\n  </metadata>\n", (long long)what->spec->epoch);
}

/* QEMU's default by its name: a libvirtd that was started again under a running guest no longer
 * knows what its machine's default is, and would refuse to move the guest by a document without. */
static void put_cpu(struct buf *b, const struct domain_xml *what) {
    bool named = *what->cpu_model;
    buf_printf(b, "  <cpu mode='custom' match='exact'%s>\n", named ? "" : " check='none'");
    put_attribute(b, "    <model fallback='forbid'>", named ? what->cpu_model : DEFAULT_CPU,
                  "</model>\n  </cpu>\n");
}

static void put_machine(struct buf *b, const struct domain_xml *what) {
    buf_printf(b, "  <memory unit='MiB'>%lld</memory>\n", (long long)what->spec->memory_mib);
    buf_printf(b, "  <vcpu placement='static'>%lld</vcpu>\n", (long long)what->spec->vcpus);
    buf_puts(b, "  <os>\n    <type arch='x86_64' machine='pc'>hvm</type>\n"
                "    <boot dev='hd'/>\n  </os>\n"
                "  <features>\n    <acpi/>\n    <apic/>\n  </features>\n");
    put_cpu(b, what);
    buf_puts(b, "  <clock offset='utc'/>\n  <on_poweroff>destroy</on_poweroff>\n"
                "  <on_reboot>restart</on_reboot>\n  <on_crash>destroy</on_crash>\n");
}

static void put_disks(struct buf *b, const struct domain_xml *what) {
    buf_puts(b, "    <disk type='file' device='disk'>\n"
                "      <driver name='qemu' type='qcow2' discard='unmap'/>\n");
    put_attribute(b, "      <source file='", what->disk_path, "'/>\n");
    buf_puts(b, "      <target dev='vda' bus='virtio'/>\n    </disk>\n"
                "    <disk type='file' device='disk'>\n"
                "      <driver name='qemu' type='raw'/>\n");
    put_attribute(b, "      <source file='", what->seed_path, "'/>\n");
    buf_puts(b, "      <target dev='vdb' bus='virtio'/>\n      <readonly/>\n    </disk>\n");
}

/* Type ethernet, unmanaged: libvirt opens the tap that we made and runs no program for it. */
static void put_vnic(struct buf *b, const struct spec_vnic *vnic, const char *tap) {
    buf_puts(b, "    <interface type='ethernet'>\n");
    put_attribute(b, "      <mac address='", vnic->mac, "'/>\n");
    put_attribute(b, "      <target dev='", tap, "' managed='no'/>\n");
    buf_puts(b, "      <model type='virtio'/>\n");
    /* Open vSwitch's userspace datapath passes frames on without completing an offloaded checksum:
     * ping would work, and TCP and UDP never arrive. Both ends of a migration must offer the same. */
    buf_puts(b, "      <driver name='qemu'>\n        <host csum='off'/>\n      </driver>\n");
    if (vnic->mtu > 0) buf_printf(b, "      <mtu size='%lld'/>\n", (long long)vnic->mtu);
    buf_puts(b, "    </interface>\n");
}

static void put_console(struct buf *b, const struct domain_xml *what) {
    buf_puts(b, "    <serial type='unix'>\n");
    put_attribute(b, "      <source mode='bind' path='", what->console_path, "'/>\n");
    buf_puts(b, "      <target port='0'/>\n    </serial>\n");
}

/* libvirt asks a new QEMU for each feature of its CPU, some 300 questions one after the other: half
 * the time of a start. Without this capability it asks for all of them in one, as it used to. */
static void put_capabilities(struct buf *b) {
    buf_puts(b, "  <qemu:capabilities>\n    <qemu:del capability='cpu-unavailable-features'/>\n"
                "  </qemu:capabilities>\n");
}

char *domain_xml(const struct domain_xml *what) {
    struct buf b AUTO_BUF = BUF_INIT;
    put_identity(&b, what);
    put_machine(&b, what);
    buf_puts(&b, "  <devices>\n    <controller type='usb' model='none'/>\n");
    put_disks(&b, what);
    for (size_t i = 0; i < what->spec->vnic_count; i++)
        put_vnic(&b, &what->spec->vnics[i], what->taps[i]);
    put_console(&b, what);
    buf_puts(&b, "    <rng model='virtio'>\n      <backend model='random'>/dev/urandom</backend>\n"
                 "    </rng>\n    <memballoon model='none'/>\n  </devices>\n");
    put_capabilities(&b);
    buf_puts(&b, "</domain>\n");
    return buf_steal(&b);
}
