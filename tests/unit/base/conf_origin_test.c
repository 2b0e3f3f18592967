/* Where a value came from, for errors that are found after the load. */
#include "conf_sample.h"
#include "unit.h"

#include <stdlib.h>

static struct sample object;
static struct vg_error error;
static struct vg_conf_origins *origins;

static enum vg_err load(const char *content, const char *const *sets, size_t count)
{
    struct vg_conf_sources from = {
        .file = content == NULL ? NULL : "a.ini", .sets = sets, .set_count = count};
    if (content != NULL) {
        vgt_write("a.ini", content);
    }
    vg_conf_origins_free(origins);
    return vg_conf_load_traced(&sample_table, &from, &object, &origins, &error);
}

static int forget(void **state)
{
    (void)state;
    vg_conf_origins_free(origins);
    origins = NULL;
    return 0;
}

static void stands(const char *key, const char *place)
{
    char found[VG_CONF_PLACE_MAX];
    assert_true(vg_conf_where(origins, key, found));
    assert_string_equal(found, place);
}

static void nowhere(const char *key)
{
    char found[VG_CONF_PLACE_MAX] = "x";
    assert_false(vg_conf_where(origins, key, found));
    assert_string_equal(found, "");
}

static void located(const char *text, const char *expected)
{
    (void)vg_fail(&error, VG_E_INVALID, "%s", text);
    vg_conf_locate(origins, &error);
    assert_string_equal(error.text, expected);
    vg_conf_locate(origins, &error);
    assert_string_equal(error.text, expected);
}

static void what_has_neither_value_nor_default_stands_in_the_file(void **state)
{
    (void)state;
    struct vg_conf_sources from = {.file = "a.ini", .allow_missing = true};
    vgt_write("a.ini", "[a]\nsize = 1\n");
    vg_conf_origins_free(origins);
    assert_int_equal(vg_conf_load_traced(&sample_table, &from, &object, &origins, &error), VG_OK);
    stands("b.must", "a.ini");
    stands("b.choice", "a.ini (default)");
}

static void every_source_is_remembered(void **state)
{
    (void)state;
    const char *sets[] = {"a.size=2", "peer z.address=here"};
    setenv("VIGIA_A_DURATION", "1s", 1);
    setenv("VIGIA_PEER_P_1_WEIGHT", "7", 1);
    enum vg_err code = load("# a comment\n[b]\nmust = x\n\n[peer p.1]\naddress = y\nweight = 2\n"
                            "[a]\nsize = 1\n",
                            sets, 2);
    unsetenv("VIGIA_A_DURATION");
    unsetenv("VIGIA_PEER_P_1_WEIGHT");
    assert_int_equal(code, VG_OK);
    stands("b.must", "a.ini:3");
    stands("peer p.1.address", "a.ini:6");
    stands("peer p.1.weight", "environment VIGIA_PEER_P_1_WEIGHT");
    stands("peer z.address", "--set");
    stands("peer z.weight", "a.ini (default)");
    stands("a.size", "--set");
    stands("a.duration", "environment VIGIA_A_DURATION");
    stands("a.number", "a.ini (default)");
    stands("b.text", "a.ini");
}

static void what_is_no_key_stands_nowhere(void **state)
{
    (void)state;
    assert_int_equal(load("[b]\nmust = x\n[peer q]\naddress = y\n", NULL, 0), VG_OK);
    nowhere("b");
    nowhere("b.none");
    nowhere("c.must");
    nowhere("peer r.address");
    nowhere("peer q.none");
    nowhere("peerq.address");
    nowhere("pear q.address");
    nowhere("");
    nowhere("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxx"
            "xxxxxxxxxx.must");
}

static void without_a_file_the_place_says_so(void **state)
{
    (void)state;
    const char *sets[] = {"b.must=x"};
    assert_int_equal(load(NULL, sets, 1), VG_OK);
    stands("a.number", "no configuration file (default)");
    stands("b.text", "no configuration file");
}

static void a_line_of_an_included_file_is_its_own(void **state)
{
    (void)state;
    vgt_write("b.ini", "[a]\nnumber = 6\n");
    vgt_write("c.ini", "\n\n[b]\nmust = x\n");
    assert_int_equal(load("include = b.ini\ninclude = c.ini\n[b]\ntext = t\n", NULL, 0), VG_OK);
    char place[VG_CONF_PLACE_MAX];
    assert_true(vg_conf_where(origins, "a.number", place));
    assert_non_null(strstr(place, "/b.ini:2"));
    assert_true(vg_conf_where(origins, "b.must", place));
    assert_non_null(strstr(place, "/c.ini:4"));
    stands("b.text", "a.ini:4");
}

static void add_include(char *content, size_t size)
{
    size_t len = strlen(content);
    snprintf(content + len, size - len, "include = b.ini\n");
}

static void nine_included_files_are_one_too_many(void **state)
{
    (void)state;
    char content[400] = "";
    vgt_write("b.ini", "# nothing\n");
    for (int i = 0; i < 8; i++) {
        add_include(content, sizeof content);
    }
    const char *sets[] = {"b.must=x"};
    assert_int_equal(load(content, sets, 1), VG_OK);
    add_include(content, sizeof content);
    assert_int_equal(load(content, sets, 1), VG_E_RANGE);
    assert_string_equal(error.text, "a.ini:9: include: one more than accepted: 8 files");
}

static void an_error_that_blames_a_key_gets_its_place_once(void **state)
{
    (void)state;
    assert_int_equal(load("[b]\nmust = x\n[peer q]\naddress = y\n", NULL, 0), VG_OK);
    located("b.must: 'x': nobody is there", "a.ini:2: b.must: 'x': nobody is there");
    located("peer q.address: in use", "a.ini:4: peer q.address: in use");
    located("[peer]: none", "a.ini: [peer]: none");
    located("b.none: x", "b.none: x");
    located("no memory", "no memory");
    located("b.must:x", "b.must:x");
    located("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.y: z",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.y: z");
    vg_conf_origins_free(origins);
    origins = NULL;
    located("b.must: x", "b.must: x");
}

static void a_load_that_fails_tells_what_it_saw_until_then(void **state)
{
    (void)state;
    assert_int_equal(load("[b]\nmust = x\n[a]\nnumber = 99\n", NULL, 0), VG_E_RANGE);
    stands("b.must", "a.ini:2");
}

static void a_long_path_is_shown_by_its_end(void **state)
{
    (void)state;
    char path[200], place[VG_CONF_PLACE_MAX];
    path[0] = '\0';
    for (int i = 0; i < 60; i++) {
        size_t len = strlen(path);
        snprintf(path + len, sizeof path - len, "./");
    }
    size_t len = strlen(path);
    snprintf(path + len, sizeof path - len, "a.ini");
    vgt_write("a.ini", "[b]\nmust = x\n");
    struct vg_conf_sources from = {.file = path};
    vg_conf_origins_free(origins);
    assert_int_equal(vg_conf_load_traced(&sample_table, &from, &object, &origins, &error), VG_OK);
    assert_true(vg_conf_where(origins, "b.must", place));
    assert_memory_equal(place, "…", strlen("…"));
    assert_string_equal(place + strlen(place) - strlen("./a.ini:2"), "./a.ini:2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_has_neither_value_nor_default_stands_in_the_file, forget),
        cmocka_unit_test_teardown(every_source_is_remembered, forget),
        cmocka_unit_test_teardown(what_is_no_key_stands_nowhere, forget),
        cmocka_unit_test_teardown(without_a_file_the_place_says_so, forget),
        cmocka_unit_test_teardown(a_line_of_an_included_file_is_its_own, forget),
        cmocka_unit_test_teardown(nine_included_files_are_one_too_many, forget),
        cmocka_unit_test_teardown(an_error_that_blames_a_key_gets_its_place_once, forget),
        cmocka_unit_test_teardown(a_load_that_fails_tells_what_it_saw_until_then, forget),
        cmocka_unit_test_teardown(a_long_path_is_shown_by_its_end, forget),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
