/* Shared by the files of `jogak frame`. */
#ifndef JOGAK_CLI_FRAME_H
#define JOGAK_CLI_FRAME_H

#include "command.h"
#include "frame/frame_text.h"

/* Options of commands that make a frame; those that only some have come after them. */
#define FRAME_OPTIONS \
    { "slice-id", 0, "NUMBER", "The slice, 1 to 4294967295" }, \
    { "inner", 0, "NUMBER", "EtherType of the payload, as 0x9000" }, \
    { "to", 0, "MAC", "Destination address (default: all)" }, \
    { "from", 0, "MAC", "Source address" }, \
    { "fields", 0, "TEXT", "Fields of the slice info: interface=1,source=2,destination=3" }, \
    { "layout", 0, "FILE", "A layout of the slice's own (JSON)" }, \
    { "payload", 0, "TEXT", "The payload as text" }, \
    { "hex", 0, "TEXT", "The payload in hex digits" }

/* --layout: 0 with *ret_layout NULL when it is not given, else `room` filled and pointed to. */
int frame_layout(struct cli *cli, struct layout *room, const struct layout **ret_layout,
                 struct err *err);
/* The frame that the options say, `from` being the source unless --from is given (NULL: it has to
 * be). frame has room for FRAME_BYTES_MAX. */
int frame_from_options(struct cli *cli, const char *from, uint8_t *frame, size_t *ret_length,
                       struct err *err);
/* A number option, or `otherwise` when it is not given. */
int frame_number(struct cli *cli, const char *option, uint64_t least, uint64_t most,
                 uint64_t otherwise, uint64_t *ret_number, struct err *err);
/* One line for people of a described frame (frame_describe); one of JSON for programs. */
void frame_print_line(struct cli *cli, const json *described);

int frame_send(struct cli *cli, struct err *err);
int frame_listen(struct cli *cli, struct err *err);

#endif
