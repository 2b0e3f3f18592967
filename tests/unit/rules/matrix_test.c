/* Runs every cell of collector/alarm/rules/matrix.txt, and sees that no cell is missing. */
#include "script.h"
#include "vigia/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define LINES_MAX 512
#define TEXT_MAX  200

static char lines[LINES_MAX][TEXT_MAX];
static size_t line_count;

static bool starts(size_t at, const char *word)
{
    size_t len = strlen(word);
    return at < line_count && strncmp(lines[at], word, len) == 0;
}

/* Runs the indented lines after `at`. */
static void run_below(struct script *s, size_t at)
{
    char copy[TEXT_MAX];
    for (at++; starts(at, "  ") && strchr(lines[at], '>') == NULL; at++) {
        assert_true(vg_str_copy(lines[at], copy, sizeof(copy)));
        if (!script_line(s, copy)) {
            fail_msg("matrix.txt:%zu: %s: %s", at + 1, lines[at], s->problem);
        }
    }
}

static void told(const struct script *s, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < s->event_count; i++) {
        struct vg_json j;
        struct vg_json_str key;
        char name[32] = "";
        vg_json_init(&j, vg_span_str(s->event[i]), 4);
        vg_json_object(&j);
        while (vg_json_member(&j, &key)) {
            if (vg_json_str_is(key, "event")) {
                vg_json_text(&j, name, sizeof(name));
            } else {
                vg_json_skip(&j);
            }
        }
        len += (size_t)snprintf(out + len, size - len, " %s", name);
        assert_true(len < size);
    }
}

/* The line that declares `name` in the sheet. */
static size_t declared(size_t sheet, const char *name, size_t len)
{
    for (size_t at = sheet + 1; at < line_count && !starts(at, "sheet "); at++) {
        if (starts(at, "state ") || starts(at, "end ")) {
            const char *word = strchr(lines[at], ' ') + 1;
            if (strncmp(word, name, len) == 0 && word[len] == ' ') {
                return at;
            }
        }
    }
    fail_msg("matrix.txt: no state %.*s", (int)len, name);
    return 0;
}

static void check_state(struct script *s, size_t sheet, const char *name, size_t len, size_t at)
{
    char line[TEXT_MAX];
    const char *sensor = s->stored_count > 0 && strcmp(s->stored[0].key, "collectors/0") != 0
                             ? s->stored[0].key
                             : s->stored[1].key;
    const char *rest = strchr(lines[declared(sheet, name, len)], ' ') + 1 + len;
    (void)snprintf(line, sizeof(line), "= %s%s", sensor, rest);
    if (!script_line(s, line)) {
        fail_msg("matrix.txt:%zu: %s: %s", at + 1, lines[at], s->problem);
    }
}

/* "  STATE > STATE EVENT…" */
static void cell(size_t sheet, size_t event, size_t at)
{
    struct script s;
    char got[TEXT_MAX];
    const char *from = lines[at] + 2;
    size_t from_len = strcspn(from, " ");
    const char *to = strchr(lines[at], '>') + 2;
    size_t to_len = strcspn(to, " ");
    script_init(&s);
    for (size_t i = sheet + 1; starts(i, "given "); i++) {
        char copy[TEXT_MAX];
        assert_true(vg_str_copy(lines[i] + strlen("given "), copy, sizeof(copy)));
        assert_true(script_line(&s, copy));
    }
    size_t state = declared(sheet, from, from_len);
    for (size_t i = state + 1; starts(i, "  "); i++) {
        char copy[TEXT_MAX];
        assert_true(vg_str_copy(lines[i], copy, sizeof(copy)));
        s.event_next = s.event_count;
        assert_true(script_line(&s, copy));
    }
    s.event_next = s.event_count;
    check_state(&s, sheet, from, from_len, at);
    run_below(&s, event);
    told(&s, got, sizeof(got));
    if (strcmp(got, to + to_len) != 0) {
        fail_msg("matrix.txt:%zu:%s: told%s", at + 1, lines[at], got);
    }
    s.event_next = s.event_count;
    check_state(&s, sheet, to, to_len, at);
    script_done(&s);
}

static void every_cell_holds(void **unused)
{
    size_t sheet = 0, event = 0, cells = 0;
    (void)unused;
    for (size_t at = 0; at < line_count; at++) {
        if (starts(at, "sheet ")) {
            sheet = at;
        } else if (starts(at, "event ")) {
            event = at;
        } else if (starts(at, "  ") && strchr(lines[at], '>') != NULL) {
            cell(sheet, event, at);
            cells++;
        }
    }
    print_message("%zu cells\n", cells);
    assert_true(cells > 80);
}

static void no_cell_is_missing(void **unused)
{
    (void)unused;
    size_t states = 0;
    for (size_t at = 0; at < line_count; at++) {
        if (starts(at, "sheet ")) {
            states = 0;
        } else if (starts(at, "state ")) {
            states++;
        } else if (starts(at, "event ")) {
            size_t found = 0;
            for (size_t i = at + 1; starts(i, "  "); i++) {
                found += strchr(lines[i], '>') != NULL;
            }
            if (found != states) {
                fail_msg("matrix.txt:%zu: %s: %zu cells, %zu states", at + 1, lines[at], found,
                         states);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cell_is_missing),
        cmocka_unit_test(every_cell_holds),
    };
    FILE *f = fopen(VIGIA_SOURCE_DIR "/collector/alarm/rules/matrix.txt", "re");
    if (f == NULL) {
        perror("matrix.txt");
        return 1;
    }
    while (line_count < LINES_MAX && fgets(lines[line_count], TEXT_MAX, f) != NULL) {
        lines[line_count][strcspn(lines[line_count], "\n")] = '\0';
        line_count++;
    }
    fclose(f);
    return cmocka_run_group_tests_name("matrix", tests, NULL, NULL);
}
