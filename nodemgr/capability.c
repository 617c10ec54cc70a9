#include "nodemgr/capability.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/service.h"
#include "nodemgr/spawn.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

LOG_MODULE("nm.capability");

#define PROBE_LIMIT_MS 5000
#define PROBE_SLACK 4      /* times slower than translation, and it is no acceleration */
#define PROBE_FLOOR_MS 1000
#define PROBE_STATUS 33    /* (0x10 << 1) | 1: what the guest below makes QEMU exit with */

struct capability {
    pthread_mutex_t lock;
    json *facts;
    bool kvm;
};

/* A boot sector that counts for a while, so that entering and leaving the guest is not all it
 * does, and then writes 0x10 to the port of QEMU's isa-debug-exit:
 *   cli; mov ecx,0x200000; dec ecx; jnz $-2; mov dx,0xf4; mov al,0x10; out dx,al; hlt; jmp $-1 */
static const unsigned char guest[] = {
    0xfa, 0x66, 0xb9, 0x00, 0x00, 0x20, 0x00, 0x66, 0x49, 0x75, 0xfc,
    0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee, 0xf4, 0xeb, 0xfd,
};

static int write_guest(const char *path, struct err *err) {
    unsigned char sector[512] = { 0 };
    memcpy(sector, guest, sizeof guest);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    return file_write(path, sector, sizeof sector, 0600, err);
}

/* Milliseconds that the guest took under this accelerator; -1 when it did not come through. */
static int64_t run_guest(const char *accel, const char *path) {
    char *drive AUTO_FREE = xasprintf("file=%s,format=raw,if=ide,readonly=off,snapshot=on", path);
    const char *const argv[] = {
        "qemu-system-x86_64", "-accel", accel, "-m", "16", "-nodefaults", "-no-user-config",
        "-display", "none", "-no-reboot", "-drive", drive,
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4", NULL,
    };
    struct spawn_result result;
    struct err err = ERR_INIT;
    int64_t begin = clock_monotonic_ms();
    if (spawn_run(argv, PROBE_LIMIT_MS, &result, &err)) {
        log_info("the probe's guest did not end", "accel=%s cause=\"%s\"", accel, err.msg);
        return -1;
    }
    return result.status == PROBE_STATUS ? clock_monotonic_ms() - begin : -1;
}

static void probe_accel(const char *state_dir, json *facts) {
    struct err err = ERR_INIT;
    char *path AUTO_FREE = xasprintf("%s/probe.img", state_dir);
    bool kvm = false;
    const char *why = "no /dev/kvm";
    if (write_guest(path, &err)) {
        log_warn("no probe of the accelerators", "cause=\"%s\"", err.msg);
        why = "the probe could not run";
    } else if (access("/dev/kvm", R_OK | W_OK) == 0) {
        int64_t translated = run_guest("tcg", path), native = run_guest("kvm", path);
        int64_t limit = translated * PROBE_SLACK > PROBE_FLOOR_MS ? translated * PROBE_SLACK
                                                                  : PROBE_FLOOR_MS;
        kvm = native >= 0 && native <= limit;
        why = native < 0 ? "a guest does not come through under it"
              : kvm      ? "works"
                         : "slower than translation";
        log_info("probed the accelerators", "tcg_ms=%lld kvm_ms=%lld kvm=%s", (long long)translated,
                 (long long)native, kvm ? "yes" : "no");
    }
    unlink(path);
    json_set_bool(facts, "kvm", kvm);
    json_set_str(facts, "kvm_reason", why);
    json_set_str(facts, "accel", kvm ? "kvm" : "tcg");
}

/* "QEMU emulator version 7.2.22 (Debian ...)": the word that begins with a digit; "" for none. */
static void version_of(const char *program, char ret[32]) {
    const char *const argv[] = { program, "--version", NULL };
    struct spawn_result result;
    ret[0] = '\0';
    if (spawn_run(argv, PROBE_LIMIT_MS, &result, NULL) || result.status != 0) return;
    for (const char *p = result.output; *p && *p != '\n'; p++)
        if (*p >= '0' && *p <= '9' && (p == result.output || p[-1] == ' ')) {
            snprintf(ret, 32, "%.*s", (int)strspn(p, "0123456789."), p);
            return;
        }
}

static void cpu_model(char ret[128]) {
    ret[0] = '\0';
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(ret, 128, "%.120s", colon + 2);
        break;
    }
    if (f) fclose(f);
}

static void set_version(json *facts, const char *key, const char *program) {
    char version[32];
    version_of(program, version);
    json_set(facts, key, *version ? json_string(version) : NULL);
}

static json *probe(const char *state_dir, const char *boot_id, const char *qemu) {
    json *facts = json_object();
    struct utsname machine;
    char model[128];
    uname(&machine);
    cpu_model(model);
    json_set_str(facts, "boot_id", boot_id);
    json_set_str(facts, "arch", machine.machine);
    json_set_str(facts, "kernel", machine.release);
    json_set_str(facts, "cpu_model", model);
    json_set(facts, "qemu", *qemu ? json_string(qemu) : NULL);
    set_version(facts, "ovs", "ovs-vswitchd");
    set_version(facts, "lxc", "lxc-start");
    json_set_bool(facts, "xen", access("/proc/xen/capabilities", F_OK) == 0);
    probe_accel(state_dir, facts);
    json *kinds = json_array();
    if (*qemu) json_add(kinds, json_string("full"));
    json_set(facts, "kinds", kinds);
    return facts;
}

static bool holds(const json *facts, const char *boot_id, const char *qemu) {
    const char *boot = json_get_str(facts, "boot_id"), *kept = json_get_str(facts, "qemu");
    return boot && strcmp(boot, boot_id) == 0 && kept && strcmp(kept, qemu) == 0;
}

struct capability *capability_open(const char *state_dir, const char *boot_id) {
    struct err err = ERR_INIT;
    char *path AUTO_FREE = xasprintf("%s/capability.json", state_dir);
    char qemu[32];
    version_of("qemu-system-x86_64", qemu);
    struct capability *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->facts = json_parse_file(path, &err); /* the first start finds none */
    if (!holds(c->facts, boot_id, qemu)) {
        json_put(c->facts);
        c->facts = probe(state_dir, boot_id, qemu);
        char *text AUTO_FREE = json_text(c->facts);
        if (file_write(path, text, strlen(text), 0600, &err))
            log_warn("capabilities were not kept", "cause=\"%s\"", err.msg);
    }
    c->kvm = json_get_bool(c->facts, "kvm", false);
    return c;
}

void capability_free(struct capability *c) {
    if (!c) return;
    json_put(c->facts);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

bool capability_kvm(const struct capability *c) { return c->kvm; }

json *capability_json(const struct capability *c) {
    WITH_LOCK((pthread_mutex_t *)&c->lock);
    json *copy = json_copy(c->facts);
    json_del(copy, "boot_id");
    return copy;
}

void capability_set_libvirt(struct capability *c, const char *version) {
    WITH_LOCK(&c->lock);
    json_set_str(c->facts, "libvirt", version);
}

void capability_resources(const char *path, struct capability_resources *ret) {
    struct sysinfo memory;
    struct statvfs disk;
    *ret = (struct capability_resources){ .vcpus = sysconf(_SC_NPROCESSORS_ONLN) };
    if (sysinfo(&memory) == 0)
        ret->memory_mib = (int64_t)(memory.totalram * memory.mem_unit >> 20);
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    long long kib;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1) ret->memory_free_mib = kib >> 10;
    if (f) fclose(f);
    if (statvfs(path, &disk) == 0) {
        ret->disk_mib = (int64_t)(disk.f_blocks * disk.f_frsize >> 20);
        ret->disk_free_mib = (int64_t)(disk.f_bavail * disk.f_frsize >> 20);
    }
}
