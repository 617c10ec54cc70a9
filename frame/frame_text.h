/*
 * Frames as JSON, for people and programs: the addresses, the header's fields by name, the payload
 * in hex digits. What frame_describe() says of a good frame, frame_compose() makes into that frame.
 */
#ifndef JOGAK_FRAME_TEXT_H
#define JOGAK_FRAME_TEXT_H

#include "frame/layout.h"

#define FRAME_BYTES_MAX 65535u

/* What a frame (borrowed) is: {"status": "ok", "destination", "source", "slice_type", "slice",
 * "inner": "0x88f7", "header_bytes", "fields": {...}, "info": "0011..", "payload_bytes",
 * "payload": "68656c.."}. "fields" is there when the layout is known: built in, or `own` (may be
 * NULL) with this slice type and length. A frame that is not "ok" has its status, the addresses
 * as far as they go, and its length. The caller drops the answer. */
json *frame_describe(const uint8_t *frame, size_t length, const struct layout *own);

/* A frame from such an object (borrowed): "slice", "destination", "source" and "inner" must be
 * there; slice_type is that of `own`, if that is given, or 2 when there are "fields", or 1.
 * out has room for FRAME_BYTES_MAX bytes. Errors: ERR_INVALID (a field is missing or wrong). */
int frame_compose(const json *object, const struct layout *own, uint8_t *out, size_t *ret_length,
                  struct err *err);

/* "52:54:00:00:00:01" to six bytes; 0, or -1 when it is no address. */
int frame_mac_parse(const char *text, uint8_t ret_mac[6]);
/* Hex digits, spaces, colons and line ends between bytes allowed. 0, or -1 (an odd digit, another
 * character, more than `room` bytes). */
int frame_hex_parse(const char *text, uint8_t *out, size_t room, size_t *ret_length);
/* Returns lower-case digits; the caller frees. */
char *frame_hex(const uint8_t *bytes, size_t length);

#endif
