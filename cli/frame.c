/* Frames with an experiment header: made and read without any service. */
#include "frame.h"

#include "nouns.h"

#include "common/clock.h"
#include "common/schema.h"
#include "format.h"
#include "frame/pcap.h"
#include "input.h"

#include <ctype.h>
#include <errno.h>

#define FILE_BYTES_MAX (64u << 20)

/* --- options --- */

int frame_number(struct cli *cli, const char *option, uint64_t least, uint64_t most,
                 uint64_t otherwise, uint64_t *ret_number, struct err *err) {
    const char *text = cli_option(cli, option);
    char *end = NULL;
    *ret_number = otherwise;
    if (!text) return 0;
    errno = 0;
    unsigned long long number = isdigit((unsigned char)*text) ? strtoull(text, &end, 0) : 0;
    if (!end || *end || errno || number < least || number > most)
        return cli_usage(cli, err, "--%s: not a number from %llu to %llu", option,
                         (unsigned long long)least, (unsigned long long)most);
    *ret_number = number;
    return 0;
}

static int frame_layout_file(struct cli *cli, const char *path, struct layout *room,
                             const struct layout **ret_layout, struct err *err) {
    static const char *const documents[] = { "layout", "common", NULL };
    size_t length;
    char *text AUTO_FREE = input_read(cli, path, JSON_SIZE_MAX, &length, err);
    if (!text || (!schema_document("layout") && schema_load_only(documents, err))) return -1;
    json *document AUTO_JSON = json_parse(text, length, err);
    if (!document || layout_parse(document, room, err)) return err_wrap(err, "%s", path);
    *ret_layout = room;
    return 0;
}

int frame_layout(struct cli *cli, struct layout *room, const struct layout **ret_layout,
                 struct err *err) {
    const char *path = cli_option(cli, "layout");
    *ret_layout = NULL;
    return path ? frame_layout_file(cli, path, room, ret_layout, err) : 0;
}

/* "interface=1,source=2" as an object of texts. */
static json *fields_of(const char *text) {
    json *fields = json_object();
    while (*text) {
        size_t n = strcspn(text, ","), name = strcspn(text, "=,");
        char *key AUTO_FREE = xstrndup(text, name);
        char *value AUTO_FREE = name < n ? xstrndup(text + name + 1, n - name - 1) : xstrdup("");
        json_set_str(fields, key, value);
        text += n + (text[n] == ',');
    }
    return fields;
}

static int set_payload(struct cli *cli, json *object, struct err *err) {
    const char *text = cli_option(cli, "payload"), *hex = cli_option(cli, "hex");
    if (text && hex) return cli_usage(cli, err, "--payload or --hex, not both");
    char *digits AUTO_FREE = frame_hex((const uint8_t *)(text ? text : ""), text ? strlen(text) : 0);
    json_set_str(object, "payload", hex ? hex : digits);
    return 0;
}

int frame_from_options(struct cli *cli, const char *from, uint8_t *frame, size_t *ret_length,
                       struct err *err) {
    struct layout room;
    const struct layout *own;
    const char *to = cli_option(cli, "to"), *fields = cli_option(cli, "fields");
    if (cli_option(cli, "from")) from = cli_option(cli, "from");
    if (!cli_option(cli, "slice-id") || !cli_option(cli, "inner"))
        return cli_usage(cli, err, "a frame needs --slice-id and --inner");
    if (!from) return cli_usage(cli, err, "a frame needs --from");
    if (frame_layout(cli, &room, &own, err)) return -1;
    json *object AUTO_JSON = json_set_str(json_object(), "slice", cli_option(cli, "slice-id"));
    json_set_str(object, "inner", cli_option(cli, "inner"));
    json_set_str(object, "destination", to ? to : "ff:ff:ff:ff:ff:ff");
    json_set_str(object, "source", from);
    if (fields) json_set(object, "fields", fields_of(fields));
    if (set_payload(cli, object, err)) return -1;
    return frame_compose(object, own, frame, ret_length, err);
}

/* --- printing --- */

static char *format_fields(const json *value) {
    struct buf text AUTO_BUF = BUF_INIT;
    size_t it = 0;
    const char *name;
    json *field;
    while (value && json_next(value, &it, &name, &field)) {
        char *plain AUTO_FREE = format_plain(field);
        buf_printf(&text, "%s%s=%s", text.length ? " " : "", name, plain);
    }
    return text.length ? buf_steal(&text) : xstrdup("-");
}

/* A payload as text, dots for what cannot be printed; "-" for none. */
static char *format_payload(const json *value) {
    uint8_t bytes[64];
    const char *hex = json_str(value);
    size_t n = 0;
    if (!hex || !*hex) return xstrdup("-");
    bool cut = strlen(hex) > 2 * sizeof bytes;
    char *start AUTO_FREE = xstrndup(hex, 2 * sizeof bytes);
    frame_hex_parse(start, bytes, sizeof bytes, &n);
    while (n && !cut && bytes[n - 1] == 0) n--; /* Ethernet's padding */
    char *text = xmalloc(n + 4);
    for (size_t i = 0; i < n; i++) text[i] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '.';
    snprintf(text + n, 4, "%s", cut ? "..." : "");
    return text;
}

static const struct column columns[] = {
    { "NUMBER", "number", NULL }, { "STATUS", "status", NULL }, { "SLICE", "slice", NULL },
    { "TYPE", "slice_type", NULL }, { "INNER", "inner", NULL }, { "TO", "destination", NULL },
    { "FROM", "source", NULL }, { "BYTES", "frame_bytes", NULL }, { "FIELDS", "fields", format_fields },
    COLUMN_END,
};
static const struct column lines[] = {
    { "status", "status", NULL }, { "destination", "destination", NULL }, { "source", "source", NULL },
    { "slice type", "slice_type", NULL }, { "slice", "slice", NULL }, { "inner", "inner", NULL },
    { "header bytes", "header_bytes", NULL }, { "fields", "fields", format_fields },
    { "frame bytes", "frame_bytes", NULL }, { "payload bytes", "payload_bytes", NULL },
    { "payload", "payload", format_payload }, COLUMN_END,
};

void frame_print_line(struct cli *cli, const json *described) {
    if (output_is_json(&cli->output)) {
        char *text AUTO_FREE = json_text(described);
        fprintf(cli->out, "%s\n", text);
    } else {
        for (const struct column *c = lines; c->title; c++) {
            const json *value = json_path(described, c->path);
            char *text AUTO_FREE = value ? c->text ? c->text(value) : format_plain(value) : NULL;
            if (!text || strcmp(text, "-") == 0 || strcmp(c->path, "header_bytes") == 0) continue;
            fprintf(cli->out, "%s%s=", c == lines ? "" : " ", c->path);
            output_text(cli->out, text);
        }
        fputc('\n', cli->out);
    }
    fflush(cli->out);
}

/* --- encode --- */

static int write_capture(const char *path, const uint8_t *frame, size_t length, struct err *err) {
    FILE *f = fopen(path, "wbe");
    if (!f) return err_set_errno(err, ERR_INVALID, errno, "%s", path);
    int rc = pcap_begin(f) || pcap_add(f, clock_wall_ms() * 1000, frame, length) ? -1 : 0;
    if (fclose(f) || rc) return err_set_errno(err, ERR_UNAVAILABLE, errno, "%s", path);
    return 0;
}

static int encode(struct cli *cli, struct err *err) {
    uint8_t *frame AUTO_FREE = xmalloc(FRAME_BYTES_MAX);
    struct layout room;
    const struct layout *own;
    size_t length;
    if (frame_from_options(cli, NULL, frame, &length, err) || frame_layout(cli, &room, &own, err))
        return -1;
    const char *path = cli_option(cli, "write");
    if (path && write_capture(path, frame, length, err)) return -1;
    char *hex AUTO_FREE = frame_hex(frame, length);
    json *described AUTO_JSON = frame_describe(frame, length, own);
    json_set_str(described, "frame", hex);
    output_said(&cli->output, described, "%s", hex);
    return 0;
}

/* --- decode --- */

static int decode_capture(const uint8_t *bytes, size_t length, const struct layout *own,
                          json *list, struct err *err) {
    struct pcap_reader r;
    const uint8_t *frame;
    size_t n;
    int rc = pcap_open(&r, bytes, length, err);
    for (int number = 1; rc == 0 && (rc = pcap_next(&r, &frame, &n, err)) == 1; number++, rc = 0)
        json_add(list, json_set_int(frame_describe(frame, n, own), "number", number));
    return rc;
}

static int decode(struct cli *cli, struct err *err) {
    const char *path = cli_arg(cli, 0), *hex = cli_option(cli, "hex");
    struct layout room;
    const struct layout *own;
    size_t length = 0;
    if (!path == !hex) return cli_usage(cli, err, "decode what? FILE, or --hex and digits");
    if (frame_layout(cli, &room, &own, err)) return -1;
    char *bytes AUTO_FREE = hex ? xmalloc(FRAME_BYTES_MAX)
                                : input_read(cli, path, FILE_BYTES_MAX, &length, err);
    if (!bytes) return -1;
    if (hex && frame_hex_parse(hex, (uint8_t *)bytes, FRAME_BYTES_MAX, &length))
        return cli_usage(cli, err, "--hex: not pairs of hex digits, or too many");
    if (pcap_is((const uint8_t *)bytes, length)) {
        json *list AUTO_JSON = json_array();
        if (decode_capture((const uint8_t *)bytes, length, own, list, err)) return -1;
        output_list(&cli->output, list, columns);
        return 0;
    }
    json *described AUTO_JSON = frame_describe((const uint8_t *)bytes, length, own);
    output_object(&cli->output, described, lines);
    return 0;
}

/* --- layout --- */

static int check_layout(struct cli *cli, struct err *err) {
    struct layout l;
    const struct layout *own;
    struct buf text AUTO_BUF = BUF_INIT;
    if (frame_layout_file(cli, cli_arg(cli, 0), &l, &own, err)) return -1;
    buf_printf(&text, "%u:%zu:", l.slice_type, l.info_bytes);
    for (size_t i = 0; i < l.count; i++)
        buf_printf(&text, "%s%s/%u/%u", i ? "," : "", l.fields[i].name, l.fields[i].offset,
                   l.fields[i].width);
    json *document AUTO_JSON = json_set_str(layout_json(&l), "wireshark", text.data);
    output_said(&cli->output, document, "%s", text.data);
    return 0;
}

/* --- rows --- */

static const struct option_row encode_options[] = {
    FRAME_OPTIONS, { "write", 0, "FILE", "Write it as a pcap capture, too" }, OPTION_END,
};
static const struct option_row decode_options[] = {
    { "hex", 0, "TEXT", "A frame in hex digits instead of a file" },
    { "layout", 0, "FILE", "A layout of the slice's own (JSON)" }, OPTION_END,
};
static const struct option_row send_options[] = {
    FRAME_OPTIONS, { "count", 0, "NUMBER", "How many (default: 1)" },
    { "interval", 0, "MS", "Milliseconds between two (default: 0)" }, OPTION_END,
};
static const struct option_row listen_options[] = {
    { "slice-id", 0, "NUMBER", "Frames of this slice alone" },
    { "layout", 0, "FILE", "A layout of the slice's own (JSON)" },
    { "count", 0, "NUMBER", "End after so many" },
    { "timeout", 0, "MS", "End after so many milliseconds; with --count that is an error" },
    { "all", 0, NULL, "Show experiment frames that are broken, too" },
    { "write", 0, "FILE", "Write them as a pcap capture, too" }, OPTION_END,
};
static const char about[] =
    "The format is told in schemas/experiment-header.md. Slice type 1 (slice id alone) is written "
    "unless there are --fields (slice type 2: interface, source, destination) or a --layout. "
    "Nothing of this asks a service.";
static const struct command rows[] = {
    { "encode", NULL, "Make a frame and print it in hex digits", encode, encode_options, about },
    { "decode", "[FILE]", "Say what a frame is, or each of a pcap capture", decode, decode_options,
      "FILE holds one frame, or is a pcap capture; - is standard input." },
    { "layout", "FILE", "Check a layout, and print it as Wireshark's preference jogak.layouts",
      check_layout, NULL, NULL },
    { "send", "WORD", "Send frames on an interface (needs CAP_NET_RAW)", frame_send, send_options,
      "WORD is the interface. The source address is the interface's unless --from says another." },
    { "listen", "WORD", "Show experiment frames that an interface receives (needs CAP_NET_RAW)",
      frame_listen, listen_options, "WORD is the interface. With -o json each line is an object." },
    { 0 },
};
const struct command_group frame_group = { "frame", "Frames with an experiment header", rows };
