/* Tables of items other than the sample: their own mistakes, several kinds of blocks, many names. */
#include "conf_sample.h"
#include "unit.h"

static struct sample object;
static struct vg_error error;

static void a_default_that_its_own_table_refuses_is_told(void **state)
{
    (void)state;
    static const struct vg_conf_item items[] = {
        VG_CONF_INT(struct sample, number, "a", "n", "11", 0, 10, NULL, "Wrong.")};
    static const struct vg_conf_table table = {
        .program = "x", .items = items, .item_count = 1, .object_size = sizeof(struct sample)};
    struct vg_conf_sources from = {.ignore_environment = true};
    assert_int_equal(vg_conf_load(&table, &from, &object, &error), VG_E_RANGE);
    assert_string_equal(error.text, "default: default.n: '11', accepted: 0 to 10");
}

static void a_default_of_a_block_that_its_own_table_refuses_is_told(void **state)
{
    (void)state;
    static const struct vg_conf_item items[] = {
        VG_CONF_INT(struct sample_block, weight, "", "weight", "0", 1, 9, NULL, "Wrong.")};
    struct vg_conf_each each = sample_each[0];
    each.items = items;
    each.item_count = 1;
    struct vg_conf_table table = sample_table;
    table.each = &each;
    struct vg_conf_sources from = {.file = "a.ini", .ignore_environment = true};
    vgt_write("a.ini", "[peer x]\n");
    assert_int_equal(vg_conf_load(&table, &from, &object, &error), VG_E_RANGE);
    assert_string_equal(error.text, "default: peer x.weight: '0', accepted: 1 to 9");
}

static void two_kinds_of_blocks_do_not_mix(void **state)
{
    (void)state;
    struct two {
        struct sample_block a[2], b[2];
        size_t a_count, b_count;
    } two;
    struct vg_conf_each each[2] = {sample_each[0], sample_each[0]};
    each[0].array_offset = offsetof(struct two, a);
    each[0].count_offset = offsetof(struct two, a_count);
    each[1].section = "other";
    each[1].array_offset = offsetof(struct two, b);
    each[1].count_offset = offsetof(struct two, b_count);
    each[0].max = each[1].max = 2;
    const struct vg_conf_table table = {
        .program = "two", .each = each, .each_count = 2, .object_size = sizeof two};
    struct vg_conf_sources from = {.file = "a.ini", .ignore_environment = true};
    vgt_write("a.ini", "[other x]\naddress = 1\n[peer x]\naddress = 2\n[other y]\naddress = 3\n");
    assert_int_equal(vg_conf_load(&table, &from, &two, &error), VG_OK);
    assert_int_equal(two.a_count, 1);
    assert_int_equal(two.b_count, 2);
    assert_string_equal(two.a[0].address, "2");
    assert_string_equal(two.b[0].address, "1");
    assert_string_equal(two.b[1].address, "3");
}

static void a_list_of_accepted_names_is_cut_at_the_room_of_an_error(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    static char names[COUNT][8];
    static struct vg_conf_item items[COUNT];
    static struct vg_conf_each each[COUNT];
    static int64_t values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "name%d", i);
        items[i] = (struct vg_conf_item){.section = names[i / 30],
                                         .key = names[i],
                                         .type = VG_CONF_T_INT,
                                         .fallback = "1",
                                         .help = "x",
                                         .offset = (size_t)i * sizeof values[0]};
        each[i] = sample_each[0];
        each[i].section = names[i];
        each[i].max = 0;
    }
    struct vg_conf_table table = {
        .program = "x", .items = items, .item_count = COUNT, .object_size = sizeof values};
    struct vg_conf_sources from = {.file = "a.ini", .ignore_environment = true};
    vgt_write("a.ini", "[name0]\nx = 1\n");
    for (int i = 0; i < COUNT; i++) {
        items[i].section = names[0];
    }
    assert_int_equal(vg_conf_load(&table, &from, values, &error), VG_E_INVALID);
    assert_int_equal(strlen(error.text), VG_ERROR_TEXT_MAX - 1);
    for (int i = 0; i < COUNT; i++) {
        items[i].section = names[i];
    }
    vgt_write("a.ini", "[x]\n");
    assert_int_equal(vg_conf_load(&table, &from, values, &error), VG_E_INVALID);
    assert_int_equal(strlen(error.text), VG_ERROR_TEXT_MAX - 1);
    table.item_count = 0;
    table.each = each;
    table.each_count = COUNT;
    assert_int_equal(vg_conf_load(&table, &from, values, &error), VG_E_INVALID);
    assert_int_equal(strlen(error.text), VG_ERROR_TEXT_MAX - 1);
}

static void the_same_key_may_stand_in_two_sections(void **state)
{
    (void)state;
    static const struct vg_conf_item items[] = {
        VG_CONF_INT(struct sample, number, "a", "n", "1", 0, 9, NULL, "First."),
        VG_CONF_INT(struct sample, any_number, "b", "n", "2", 0, 9, NULL, "Second."),
    };
    static const struct vg_conf_table table = {
        .program = "x", .items = items, .item_count = 2, .object_size = sizeof(struct sample)};
    struct vg_conf_sources from = {.file = "a.ini", .ignore_environment = true};
    vgt_write("a.ini", "[b]\nn = 7\n[a]\n");
    assert_int_equal(vg_conf_load(&table, &from, &object, &error), VG_OK);
    assert_int_equal(object.number, 1);
    assert_int_equal(object.any_number, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_default_that_its_own_table_refuses_is_told),
        cmocka_unit_test(a_default_of_a_block_that_its_own_table_refuses_is_told),
        cmocka_unit_test(two_kinds_of_blocks_do_not_mix),
        cmocka_unit_test(a_list_of_accepted_names_is_cut_at_the_room_of_an_error),
        cmocka_unit_test(the_same_key_may_stand_in_two_sections),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
