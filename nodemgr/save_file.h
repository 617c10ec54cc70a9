/*
 * libvirt's save image: a head, the domain's document, and QEMU's migration stream.
 *
 * libvirt refuses to restore one under another name or with other paths, since names are part of what it
 * compares; so an image for the next incarnation is written anew: our head and document, the same stream.
 * Source: libvirt 9.0, src/qemu/qemu_saveimage.h, struct _virQEMUSaveHeader (the host's byte order).
 */
#ifndef JOGAK_NODEMGR_SAVE_FILE_H
#define JOGAK_NODEMGR_SAVE_FILE_H

#include "common/err.h"
#include "common/mem.h"

#include <stdint.h>

/* Where the stream begins in a complete, uncompressed save image. Errors: ERR_UNSUPPORTED (another
 * format, or compressed), ERR_INTEGRITY (cut short). */
int save_file_stream(int fd, int64_t *ret_offset, struct err *err);
/* Appends the head and the document (borrowed); the stream follows. */
void save_file_head(const char *xml, struct buf *to);

#endif
