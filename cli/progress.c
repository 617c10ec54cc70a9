#include "progress.h"

#include "format.h"

void progress_init(struct progress *p, const struct cli *cli) {
    *p = (struct progress){ .out = cli->notes, .tty = cli->notes_tty, .utf8 = cli->utf8,
                            .width = cli->width };
}

const char *progress_spinner(unsigned turn, bool utf8) {
    static const char *const dots[] = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" };
    static const char *const sticks[] = { "-", "\\", "|", "/" };
    return utf8 ? dots[turn % COUNT_OF(dots)] : sticks[turn % COUNT_OF(sticks)];
}

char *progress_bar(int64_t done, int64_t total, int width, char *buf, size_t size) {
    struct buf b = BUF_INIT;
    int inner = width > 2 ? width - 2 : 0;
    int full = total > 0 ? (int)((double)done / (double)total * inner) : 0;
    if (full > inner) full = inner;
    buf_puts(&b, "[");
    for (int i = 0; i < inner; i++) buf_puts(&b, i < full ? "=" : i == full ? ">" : " ");
    buf_puts(&b, "]");
    snprintf(buf, size, "%s", b.data);
    buf_done(&b);
    return buf;
}

void progress_show(struct progress *p, const char *text) {
    bool changed = strncmp(p->last, text, sizeof p->last - 1) != 0;
    snprintf(p->last, sizeof p->last, "%s", text);
    if (p->tty) {
        fprintf(p->out, "\r\033[K%s ", progress_spinner(p->turn++, p->utf8));
        char *line AUTO_FREE = xstrdup(text);
        if (format_width(line) + 3 > (size_t)p->width && strlen(line) + 3 > (size_t)p->width)
            line[p->width > 3 ? p->width - 3 : 0] = '\0';
        output_text(p->out, line);
        p->shown = true;
    } else if (changed && *text) {
        output_text(p->out, text);
        putc('\n', p->out);
    }
    fflush(p->out);
}

void progress_clear(struct progress *p) {
    if (p->shown) fputs("\r\033[K", p->out);
    p->shown = false;
    fflush(p->out);
}
