/* Reading a configuration file through libinih.
 *
 * libinih splits lines; everything it would let pass in silence (a line cut at its buffer, a NUL
 * byte, text behind a
 * ']', a name cut at its limit) is refused by the reader that feeds it. The first error ends the
 * load. */
#include "conf_load.h"

#include <errno.h>
#include <ini.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(VG_CONF_LINE_MAX + 3 <= INI_MAX_LINE,
               "libinih never meets a line that it would cut");

const char *vgi_conf_dots(const char *path)
{
    return strlen(path) > VGI_SHOWN_PATH_MAX ? "…" : "";
}

const char *vgi_conf_path_end(const char *path)
{
    size_t len = strlen(path);
    return len > VGI_SHOWN_PATH_MAX ? path + len - VGI_SHOWN_PATH_MAX : path;
}

void vgi_conf_place_of_line(const struct load *load, char *place)
{
    snprintf(place, VGI_PLACE_MAX, "%s%s:%d", vgi_conf_dots(load->shown_file),
             vgi_conf_path_end(load->shown_file), load->line);
}

static enum vg_err refuse_line(struct load *load, const char *why)
{
    char place[VGI_PLACE_MAX];
    vgi_conf_place_of_line(load, place);
    return load->failed = vg_fail(load->err, VG_E_INVALID, "%s: %s", place, why);
}

/* What libinih would accept although it is not "[name]", or cut. */
static const char *wrong_header(const char *line)
{
    line += strspn(line, " \t");
    if (line[0] != '[') {
        return NULL;
    }
    const char *end = strchr(line, ']');
    if (end == NULL) {
        return "a section header without ']'";
    }
    if (end - line - 1 > VG_CONF_SECTION_MAX) {
        return "a section name longer than 48 bytes";
    }
    end++;
    end += strspn(end, " \t\r\n");
    return *end == '\0' || *end == ';' || *end == '#' ? NULL : "text behind the ']'";
}
_Static_assert(VG_CONF_SECTION_MAX == 48, "the text above says the number");

static char *read_line(char *to, int room, void *arg)
{
    struct load *load = arg;
    size_t len = 0;
    int c = '\0';
    if (load->failed != VG_OK) {
        return NULL;
    }
    load->line++;
    while (c != '\n' && (c = getc(load->file)) != EOF) {
        if (c == '\0') {
            refuse_line(load, "a NUL byte; accepted: text");
            return NULL;
        }
        if (len + 1 >= (size_t)room || len >= VG_CONF_LINE_MAX) {
            /* libinih reads on with a small buffer only behind a line that filled its own; never
             * reached. */
            refuse_line(load, "a line longer than 1000 bytes");
            return NULL;
        }
        to[len++] = (char)c;
    }
    to[len] = '\0';
    const char *wrong = wrong_header(to);
    if (wrong != NULL) {
        refuse_line(load, wrong);
        return NULL;
    }
    return len == 0 ? NULL : to;
}
_Static_assert(VG_CONF_LINE_MAX == 1000, "the text above says the number");

static enum vg_err note_included(struct load *load, const char *place)
{
    struct vg_conf_origins *o = load->origins;
    if (o->included == VGI_INCLUDES_MAX) {
        return vg_fail(load->err, VG_E_RANGE, "%s: include: one more than accepted: %d files",
                       place, VGI_INCLUDES_MAX);
    }
    return vgi_conf_origins_file(o, ++o->included, load->included)
               ? VG_OK
               : vg_fail(load->err, VG_E_NOMEM, "no memory to load the configuration");
}

/* "include = FILE" before the first section: reads FILE here. One level only; relative to the main
 * file's folder. */
static enum vg_err include_file(struct load *load, const char *place, const char *name)
{
    FILE *main_file = load->file;
    const char *main_shown = load->shown_file;
    int main_line = load->line;
    enum vg_err code;

    if (load->self_contained) {
        return vg_fail(load->err, VG_E_INVALID,
                       "%s: include: this file has to say everything itself", place);
    }
    if (load->included[0] != '\0') {
        return vg_fail(load->err, VG_E_INVALID, "%s: include: an included file includes no other",
                       place);
    }
    int made = snprintf(load->included, sizeof load->included, "%s%s%s",
                        name[0] == '/' ? "" : load->file_folder, name[0] == '/' ? "" : "/", name);
    if (made < 0 || (size_t)made >= sizeof load->included || name[0] == '\0') {
        load->included[0] = '\0';
        return vg_fail(load->err, VG_E_INVALID,
                       "%s: include: '%.80s': accepted: the path of a file", place, name);
    }
    /* Anything else could be waited for without an end: a pipe, a terminal. */
    struct stat st;
    bool regular = stat(load->included, &st) != 0 || S_ISREG(st.st_mode);
    load->file = regular ? fopen(load->included, "re") : NULL;
    if (load->file == NULL) {
        code = vg_fail(load->err, regular && errno == ENOENT ? VG_E_NOTFOUND : VG_E_IO,
                       "%s: include: %s%s: cannot be opened: %s", place,
                       vgi_conf_dots(load->included), vgi_conf_path_end(load->included),
                       regular ? strerror(errno) : "no regular file");
    } else {
        load->shown_file = load->included;
        load->line = 0;
        code = note_included(load, place);
        if (code == VG_OK) {
            code = vgi_conf_read_file(load);
        }
        fclose(load->file);
    }
    load->file = main_file;
    load->shown_file = main_shown;
    load->line = main_line;
    load->included[0] = '\0';
    return code;
}

static int handle_line(void *arg, const char *section, const char *key, const char *value, int line)
{
    struct load *load = arg;
    struct scope scope;
    char place[VGI_PLACE_MAX];
    int included = load->included[0] == '\0' ? 0 : SEEN_INCLUDED * (int)load->origins->included;
    (void)line;
    vgi_conf_place_of_line(load, place);
    if (section[0] == '\0' && key != NULL && strcmp(key, "include") == 0) {
        load->failed = include_file(load, place, value);
        return load->failed == VG_OK;
    }
    if (section[0] == '\0') {
        load->failed = vg_fail(load->err, VG_E_INVALID, "%s: %s: no [section] before it", place,
                               key == NULL ? "[]" : key);
        return 0;
    }
    load->failed = vgi_conf_open_section(load, place, section, &scope);
    if (load->failed == VG_OK && key != NULL) {
        load->failed = vgi_conf_set_value(load, &scope, place, key, value, load->line + included);
    }
    return load->failed == VG_OK;
}

enum vg_err vgi_conf_read_file(struct load *load)
{
    int first_bad = ini_parse_stream(read_line, load, handle_line, load);
    if (ferror(load->file)) {
        return vg_fail(load->err, VG_E_IO, "%s%s: cannot be read: %s",
                       vgi_conf_dots(load->shown_file), vgi_conf_path_end(load->shown_file),
                       strerror(errno));
    }
    /* A line that is neither header nor pair does not stop libinih, so a later error may have been
     * told. */
    if (first_bad > 0 && (load->failed == VG_OK || first_bad < load->line)) {
        load->line = first_bad;
        return refuse_line(load, "neither [section] nor key = value nor a comment");
    }
    return load->failed;
}
