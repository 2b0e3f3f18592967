/* vigia decode: what a pack says, as the collector would understand it. */
#include "cli.h"

#include "vigia/clock.h"
#include "vigia/senml.h"

#include <stdlib.h>
#include <unistd.h>

static void print_line(void *arg, struct vg_span line)
{
    (void)arg;
    (void)printf("%.*s\n", (int)line.len, line.at);
}

/* The whole of standard input, at most one byte more than a body may have. */
static bool read_body(char *body, size_t size, size_t *len)
{
    *len = 0;
    while (*len < size) {
        ssize_t n = read(STDIN_FILENO, body + *len, size - *len);

        if (n < 0) {
            return false;
        }
        if (n == 0) {
            break;
        }
        *len += (size_t)n;
    }
    return true;
}

int cli_decode(struct cli *cli)
{
    static char body[VG_BODY_MAX + 1];
    const char *name = cli_option(cli, "format", "");
    struct vg_error err = {0};
    struct vg_batch *batch;
    enum vg_format format;
    enum vg_err code;
    size_t len = 0;

    if (!vg_format_parse(vg_span_str(name), &format)) {
        (void)cli_fail(cli, "--format '%s': accepted are senml-cbor, senml-json and json", name);
        return VG_EXIT_USAGE;
    }
    if (!read_body(body, sizeof(body), &len)) {
        return cli_fail(cli, "standard input cannot be read");
    }
    if (len > VG_BODY_MAX) {
        return cli_fail(cli, "4.13: a body has at most %d bytes", VG_BODY_MAX);
    }
    batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return cli_fail(cli, "no memory");
    }
    code = vg_batch_lines(format, vg_span(body, len), vg_now_wall(vg_clock_system()), batch,
                          print_line, NULL, &err);
    free(batch);
    return code == VG_OK
               ? VG_EXIT_OK
               : cli_fail(cli, "%s: %s", code == VG_E_INVALID ? "4.00" : "4.22", err.text);
}
