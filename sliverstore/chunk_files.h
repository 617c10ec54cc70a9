/*
 * Chunks on disk: <state_dir>/chunks/ab/abcdef..., each written whole or not at all.
 *
 * Nothing here locks: whoever writes or removes a chunk holds its stripe (store.h). Everything
 * blocks on the disk.
 */
#ifndef JOGAK_SLIVERSTORE_CHUNK_FILES_H
#define JOGAK_SLIVERSTORE_CHUNK_FILES_H

#include "store.h"

/* Makes the directories and removes temporary files that a crash left. */
int chunk_files_open(struct store *s, struct err *err);

/* The stripe's lock of a digest (64 hexadecimal digits). */
pthread_mutex_t *chunk_stripe(struct store *s, const char *digest);

/* Is there room for so many bytes more, with the reserve left? ERR_NO_SPACE with a remedy. */
int chunk_files_room(const struct store *s, size_t bytes, struct err *err);
/* Durable when it returns 0: temporary file, fsync, rename, fsync of the directory.
 * Errors: ERR_NO_SPACE with a remedy, ERR_UNAVAILABLE; nothing is left then. */
int chunk_files_write(struct store *s, const char *digest, const void *data, size_t length,
                      struct err *err);
/* Reads a chunk's file, which must have `length` bytes; the caller frees. ERR_INTEGRITY when it is
 * missing or has another length. */
void *chunk_files_read(const struct store *s, const char *digest, size_t length, struct err *err);
/* Does the file exist with this length? */
bool chunk_files_has(const struct store *s, const char *digest, size_t length);
void chunk_files_remove(struct store *s, const char *digest);
/* Calls fn with the name of each file of a stripe. fn may remove it. */
int chunk_files_each(struct store *s, unsigned stripe, void (*fn)(void *ctx, const char *name),
                     void *ctx, struct err *err);

#endif
