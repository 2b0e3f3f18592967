/* Where configuration comes from: file, included file, environment, command line; which wins, and what
 * paths start at. */
#include "conf_load.h"

static void what_a_file_could_not_say_is_refused_from_the_command_line_too(void **state)
{
    (void)state;
    assert_int_equal(load_set("b.text=  trimmed \t"), VG_OK);
    assert_string_equal(object.text, "trimmed");
    assert_int_equal(load_set("b.text=a;b"), VG_OK);
    set_refused("b.text=a ;b", VG_E_INVALID,
                "--set: b.text: 'a ;b', accepted: text of at most 15 bytes");
    set_refused("b.text=;b", VG_E_INVALID,
                "--set: b.text: ';b', accepted: text of at most 15 bytes");
    set_refused("b.text=\x7f", VG_E_INVALID,
                "--set: b.text: '?', accepted: text of at most 15 bytes");
    char set[VG_CONF_VALUE_MAX + 16] = "b.path=/";
    memset(set + 8, 'x', VG_CONF_VALUE_MAX);
    set[8 + VG_CONF_VALUE_MAX] = '\0';
    assert_int_equal(load_set(set), VG_E_RANGE);
}

static void the_command_line_reaches_and_makes_blocks(void **state)
{
    (void)state;
    const char *sets[] = {"b.must=x", "peer a.b.address=h=1", "peer a.b.weight=2",
                          "peer a.b.weight=3"};
    assert_int_equal(load_sets(sets, 4), VG_OK);
    assert_int_equal(object.block_count, 1);
    assert_string_equal(object.blocks[0].name, "a.b");
    assert_string_equal(object.blocks[0].address, "h=1");
    assert_int_equal(object.blocks[0].weight, 3);
    set_refused("nonsense", VG_E_INVALID, "--set: 'nonsense': accepted: section.key=value");
    set_refused("a=b.c", VG_E_INVALID, "--set: 'a': accepted: section.key=value");
    char set[2 * VG_CONF_SECTION_MAX + 8];
    memset(set, 'x', sizeof set);
    memcpy(set + sizeof set - 5, ".k=v", 5);
    assert_int_equal(load_set(set), VG_E_INVALID);
    memset(set, 'x', sizeof set);
    memcpy(set, "a.", 2);
    memcpy(set + sizeof set - 3, "=v", 3);
    assert_int_equal(load_set(set), VG_E_INVALID);
}

static void later_sources_win(void **state)
{
    (void)state;
    vgt_write("a.ini", "[a]\nnumber = 1\n[b]\nmust = file\n[peer c-1]\naddress = file\n");
    setenv("VIGIA_A_NUMBER", "2", 1);
    setenv("VIGIA_PEER_C_1_ADDRESS", "environment", 1);
    const char *sets[] = {"a.number=3"};
    struct vg_conf_sources from = {.file = "a.ini"};
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_OK);
    assert_int_equal(object.number, 2);
    assert_string_equal(object.blocks[0].address, "environment");
    from.sets = sets;
    from.set_count = 1;
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_OK);
    assert_int_equal(object.number, 3);
    setenv("VIGIA_A_NUMBER", "99", 1);
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_RANGE);
    assert_string_equal(error.text, "environment VIGIA_A_NUMBER: a.number: '99', accepted: -1 to "
                                    "10 things");
    unsetenv("VIGIA_A_NUMBER");
    setenv("VIGIA_PEER_C_1_WEIGHT", "0", 1);
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_RANGE);
    assert_string_equal(
        error.text, "environment VIGIA_PEER_C_1_WEIGHT: peer c-1.weight: '0', accepted: 1 to 9");
    unsetenv("VIGIA_PEER_C_1_WEIGHT");
    unsetenv("VIGIA_PEER_C_1_ADDRESS");
}

static void a_relative_path_starts_at_the_file_or_at_the_working_directory(void **state)
{
    (void)state;
    char expected[128], file[128];
    struct vg_conf_sources from = {.file = file, .ignore_environment = true};
    vgt_write("a.ini", "[b]\nmust = x\npath = sub/x\n");
    snprintf(expected, sizeof expected, "%s/sub/x", vgt_folder);
    snprintf(file, sizeof file, "a.ini");
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_OK);
    assert_string_equal(object.path, expected);
    snprintf(file, sizeof file, "%s/a.ini", vgt_folder);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_OK);
    assert_string_equal(object.path, expected);
    snprintf(file, sizeof file, "%s/a.ini", vgt_folder + 1); /* relative to "/" */
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_OK);
    assert_string_equal(object.path, expected);
    assert_int_equal(load_set("b.path=x"), VG_OK);
    assert_string_equal(object.path, "/x");
    assert_int_equal(chdir(vgt_folder), 0);
    assert_int_equal(load_set("b.path=x"), VG_OK);
    snprintf(expected, sizeof expected, "%s/x", vgt_folder);
    assert_string_equal(object.path, expected);
    char set[160] = "b.path=";
    memset(set + 7, 'x', 110);
    assert_int_equal(load_set(set), VG_E_RANGE);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct vg_conf_sources from = {.file = "none.ini", .ignore_environment = true};
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_NOTFOUND);
    assert_string_equal(error.text, "none.ini: cannot be opened: No such file or directory");
    from.file_optional = true;
    from.allow_missing = true;
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_OK);
    from.file = ".";
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_IO);
    assert_string_equal(error.text, ".: cannot be read: Is a directory");
    vgt_write("b.ini", "");
    from.file = "b.ini/x";
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_IO);
    char path[256];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[255] = '\0';
    for (int i = 100; i < 200; i += 20) {
        path[i] = '/';
    }
    from.file = path;
    from.file_optional = false;
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_NOTFOUND);
    assert_memory_equal(error.text, "…", 3);
    assert_non_null(strstr(error.text, ": cannot be opened: No such file or directory"));
}

static void a_file_may_include_one_other(void **state)
{
    (void)state;
    vgt_write("b.ini", "[a]\nnumber = 7\n");
    assert_int_equal(load("include = b.ini\n[b]\nmust = x\n"), VG_OK);
    assert_int_equal(object.number, 7);
    refused("include = b.ini\n[a]\nnumber = 6\n", VG_E_INVALID,
            "a.ini:3: a.number: given again, first in line 2 of the included file");
    vgt_write("b.ini", "[a]\nnumber = 77\n");
    assert_int_equal(load("include = b.ini\n[b]\nmust = x\n"), VG_E_RANGE);
    assert_non_null(strstr(error.text, "/b.ini:2: a.number: '77', accepted: -1 to 10 things"));
    vgt_write("b.ini", "include = b.ini\n");
    assert_int_equal(load("include = b.ini\n"), VG_E_INVALID);
    assert_non_null(strstr(error.text, "/b.ini:1: include: an included file includes no other"));
    refused("include =\n", VG_E_INVALID, "a.ini:1: include: '': accepted: the path of a file");
    assert_int_equal(load("include = /none/none.ini\n"), VG_E_NOTFOUND);
    assert_string_equal(error.text, "a.ini:1: include: /none/none.ini: cannot be opened: No such "
                                    "file or directory");
    assert_int_equal(load("include = b.ini/none.ini\n"), VG_E_IO);
    refused("include = /dev/null\n", VG_E_IO,
            "a.ini:1: include: /dev/null: cannot be opened: no regular file");
}

static void a_path_too_long_for_the_system_is_refused(void **state)
{
    (void)state;
    static char path[8192];
    struct vg_conf_sources from = {.file = path, .ignore_environment = true};
    memset(path, 'x', sizeof path - 1);
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_IO);
    static char content[VG_CONF_LINE_MAX];
    snprintf(content, sizeof content, "include = %0900d\n", 0);
    assert_int_equal(load(content), VG_E_IO);
    /* A working directory that is gone has no name. */
    assert_int_equal(mkdir("gone", 0700), 0);
    assert_int_equal(chdir("gone"), 0);
    assert_int_equal(rmdir("../gone"), 0);
    enum vg_err code = load_sets(NULL, 0);
    assert_int_equal(chdir(vgt_folder), 0);
    assert_int_equal(code, VG_E_IO);
    assert_string_equal(error.text,
                        "the working directory cannot be named: No such file or directory");
}

/* A field may have room for more than any value: the value's own bound holds for the whole path. */
static void a_path_that_its_folder_makes_too_long_is_refused(void **state)
{
    (void)state;
    struct roomy {
        char path[2 * VG_CONF_VALUE_MAX];
    } roomy;
    static const struct vg_conf_item items[] = {
        VG_CONF_PATH(struct roomy, path, "a", "path", "", "A path.")};
    const struct vg_conf_table table = {
        .program = "roomy", .items = items, .item_count = 1, .object_size = sizeof(roomy)};
    char set[VG_CONF_VALUE_MAX + 8] = "a.path=";
    const char *const sets[] = {set};
    const struct vg_conf_sources from = {.sets = sets, .set_count = 1, .ignore_environment = true};
    memset(set + 7, 'p', VG_CONF_VALUE_MAX);
    assert_int_equal(vg_conf_load(&table, &from, &roomy, &error), VG_E_RANGE);
    set[7 + VG_CONF_VALUE_MAX / 2] = '\0';
    assert_int_equal(vg_conf_load(&table, &from, &roomy, &error), VG_OK);
    assert_true(roomy.path[0] == '/');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_file_could_not_say_is_refused_from_the_command_line_too),
        cmocka_unit_test(the_command_line_reaches_and_makes_blocks),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(a_relative_path_starts_at_the_file_or_at_the_working_directory),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(a_file_may_include_one_other),
        cmocka_unit_test(a_path_too_long_for_the_system_is_refused),
        cmocka_unit_test(a_path_that_its_folder_makes_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
