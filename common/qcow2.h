/*
 * The head of a qcow2 file, read with suspicion: an image that comes from outside must stand on
 * its own, since QEMU would open whatever file its header names.
 * Source: QEMU, docs/interop/qcow2.txt (big-endian, versions 2 and 3).
 */
#ifndef JOGAK_QCOW2_H
#define JOGAK_QCOW2_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qcow2_head {
    uint32_t version;
    uint32_t cluster_bits;
    int64_t virtual_size_bytes;
};
/* Do these bytes begin like a qcow2 file? */
bool qcow2_is(const void *data, size_t length);
/* Reads the head from the first bytes of a file of file_size bytes. Refuses what is malformed, and
 * a backing file, an external data file, encryption, the corrupt mark, and features we do not know.
 * Errors: ERR_UNPROCESSABLE with a remedy. */
int qcow2_check(const void *data, size_t length, int64_t file_size, struct qcow2_head *ret,
                struct err *err);

#endif
