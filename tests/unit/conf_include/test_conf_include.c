/* "include = FILE" of lib/base's configuration: where it is taken, and how its errors name their
 * place. */
#include "vigia/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct object {
    char url[64];
    int64_t size;
};

static const struct vg_conf_item items[] = {
    VG_CONF_STRING(struct object, url, "log", "url", "none", "The log."),
    VG_CONF_INT(struct object, size, "own", "size", "1", 1, 100, "things", "A size."),
};
static const struct vg_conf_table table = {
    .program = "test", .items = items, .item_count = 2, .object_size = sizeof(struct object)};

static char folder[] = "/tmp/vigia-include-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static enum vg_err load(struct object *object, struct vg_error *err)
{
    char path[128];
    struct vg_conf_sources from = {.file = path, .ignore_environment = true};

    (void)snprintf(path, sizeof(path), "%s/main.ini", folder);
    memset(err, 0, sizeof(*err));
    return vg_conf_load(&table, &from, object, err);
}

static void an_included_file_is_read_as_if_it_stood_there(void **state)
{
    struct object object;
    struct vg_error err;

    (void)state;
    put("shared.ini", "[log]\nurl = sqlite:x\n");
    put("main.ini", "include = shared.ini\n[own]\nsize = 7\n");
    assert_int_equal(load(&object, &err), VG_OK);
    assert_string_equal(object.url, "sqlite:x");
    assert_int_equal(object.size, 7);
}

static void an_error_in_an_included_file_names_that_file_and_line(void **state)
{
    struct object object;
    struct vg_error err;

    (void)state;
    put("shared.ini", "[log]\nurl = x\n[own]\nsize = 700\n");
    put("main.ini", "include = shared.ini\n");
    assert_int_equal(load(&object, &err), VG_E_RANGE);
    assert_non_null(strstr(err.text, "shared.ini:4: own.size"));
}

static void a_key_in_both_files_is_refused_in_the_main_file(void **state)
{
    struct object object;
    struct vg_error err;

    (void)state;
    put("shared.ini", "[log]\nurl = x\n");
    put("main.ini", "include = shared.ini\n[log]\nurl = y\n");
    assert_int_equal(load(&object, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "main.ini:3: log.url"));
}

static void a_missing_included_file_names_both(void **state)
{
    struct object object;
    struct vg_error err;

    (void)state;
    put("main.ini", "; first\ninclude = nowhere.ini\n");
    assert_int_equal(load(&object, &err), VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, "main.ini:2: include"));
    assert_non_null(strstr(err.text, "nowhere.ini"));
}

static void an_included_file_includes_no_other(void **state)
{
    struct object object;
    struct vg_error err;

    (void)state;
    put("shared.ini", "include = main.ini\n");
    put("main.ini", "include = shared.ini\n");
    assert_int_equal(load(&object, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "shared.ini:1: include"));
}

static void an_empty_include_is_refused(void **state)
{
    struct object object;
    struct vg_error err;

    (void)state;
    put("main.ini", "include =\n");
    assert_int_equal(load(&object, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "main.ini:1: include"));
}

static void a_file_that_came_from_outside_includes_nothing(void **state)
{
    struct object object;
    struct vg_error err = {0};
    char path[128];
    const struct vg_conf_sources from = {
        .file = path, .ignore_environment = true, .self_contained = true};

    (void)state;
    put("shared.ini", "[log]\nurl = x\n");
    put("main.ini", "include = shared.ini\n");
    (void)snprintf(path, sizeof(path), "%s/main.ini", folder);
    assert_int_equal(vg_conf_load(&table, &from, &object, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "main.ini:1: include"));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/main.ini", folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/shared.ini", folder);
    (void)unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_included_file_is_read_as_if_it_stood_there),
        cmocka_unit_test(an_error_in_an_included_file_names_that_file_and_line),
        cmocka_unit_test(a_key_in_both_files_is_refused_in_the_main_file),
        cmocka_unit_test(a_missing_included_file_names_both),
        cmocka_unit_test(an_included_file_includes_no_other),
        cmocka_unit_test(an_empty_include_is_refused),
        cmocka_unit_test(a_file_that_came_from_outside_includes_nothing),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
