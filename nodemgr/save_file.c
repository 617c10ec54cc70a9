#include "nodemgr/save_file.h"

#include <errno.h>
#include <sys/stat.h>

#define MAGIC "LibvirtQemudSave"
#define VERSION 2
#define DOCUMENT_MAX (4u << 20)

struct head {
    char magic[16];
    uint32_t version;
    uint32_t document_bytes; /* with its NUL and what fills up */
    uint32_t was_running;
    uint32_t compressed;     /* 0: no */
    uint32_t cookie_offset;  /* 0: none */
    uint32_t unused[14];
};
_Static_assert(sizeof(struct head) == 92, "libvirt's head has 92 bytes");

int save_file_stream(int fd, int64_t *ret_offset, struct err *err) {
    struct head h;
    struct stat st;
    ssize_t n = pread(fd, &h, sizeof h, 0);
    if (n < 0 || fstat(fd, &st)) return err_set_errno(err, ERR_UNAVAILABLE, errno, "read a save image");
    if (n < (ssize_t)sizeof h || memcmp(h.magic, MAGIC, sizeof h.magic) != 0)
        return err_set(err, ERR_INTEGRITY, "libvirt left no complete save image");
    if (h.version != VERSION || h.compressed != 0) {
        err_set(err, ERR_UNSUPPORTED, "libvirt's save image is of version %u, compressed by %u",
                h.version, h.compressed);
        return err_remedy(err, "Set snapshot_image_format = \"raw\" in /etc/libvirt/qemu.conf.");
    }
    int64_t at = (int64_t)sizeof h + h.document_bytes;
    if (h.document_bytes > DOCUMENT_MAX || at >= st.st_size)
        return err_set(err, ERR_INTEGRITY, "libvirt's save image has no memory in it");
    *ret_offset = at;
    return 0;
}

void save_file_head(const char *xml, struct buf *to) {
    struct head h = { .version = VERSION, .document_bytes = (uint32_t)strlen(xml) + 1 };
    memcpy(h.magic, MAGIC, sizeof h.magic);
    buf_add(to, &h, sizeof h);
    buf_add(to, xml, h.document_bytes);
}
