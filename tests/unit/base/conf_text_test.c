/* What is printed from a table, and what a reload may change. */
#include "conf_sample.h"
#include "unit.h"

static char text[32768];

static void print(void (*fn)(const struct vg_conf_table *, FILE *))
{
    FILE *to = fmemopen(text, sizeof text, "w");
    assert_non_null(to);
    fn(&sample_table, to);
    assert_int_equal(fclose(to), 0);
}

static void dump(const struct sample *object)
{
    FILE *to = fmemopen(text, sizeof text, "w");
    assert_non_null(to);
    vg_conf_dump(&sample_table, object, to);
    assert_int_equal(fclose(to), 0);
}

static void load_text(const char *content, struct sample *out)
{
    struct vg_error err;
    struct vg_conf_sources from = {.file = "dump.ini", .ignore_environment = true};
    vgt_write("dump.ini", content);
    if (vg_conf_load(&sample_table, &from, out, &err) != VG_OK) {
        fail_msg("%s", err.text);
    }
}

static void reads_back(const char *content)
{
    struct sample first, again;
    load_text(content, &first);
    dump(&first);
    load_text(text, &again);
    assert_memory_equal(&first, &again, sizeof first);
}

static void a_dump_reads_back_as_the_same_object(void **state)
{
    (void)state;
    reads_back("[b]\nmust = x\n");
    reads_back("[a]\nnumber = -1\nany_number = -9223372036854775808\nduration = never\n"
               "short = 101ms\nsize = 1025\n[b]\nfraction = 0.30000000000000004\n"
               "any_fraction = 1e-300\nflag = yes\nchoice = one\ntext = a;b = c # d\nmust = [x]\n"
               "path = ./rel\n[peer c1]\naddress = h:1\n[peer c2]\naddress = x\nweight = 9\n");
    reads_back("[a]\nduration = 36h\nsize = 3G\nshort = 1s\nany_number = 9223372036854775807\n"
               "[b]\nmust = y\nfraction = 0.6666666666666666\nany_fraction = -0.1\n");
}

static void a_dump_never_holds_a_secret(void **state)
{
    (void)state;
    struct sample object;
    load_text("[b]\nmust = x\nkey = hush\n", &object);
    dump(&object);
    assert_null(strstr(text, "hush"));
    assert_non_null(strstr(text, "# key is a secret and not shown\n"));
}

static void a_dump_without_an_object_is_a_template(void **state)
{
    (void)state;
    dump(NULL);
    assert_non_null(strstr(text,
                           "[a]\n# A number of things.\n# number: -1 to 10 things; default 5; "
                           "reloadable\nnumber = 5\n"));
    assert_non_null(strstr(text, "# must = \n"));
    assert_non_null(strstr(text, "# One peer.\n# At most 3.\n# [peer NAME]\n# address = \n"
                                 "# weight = 1\n"));
}

static void a_missing_required_text_is_dumped_as_a_comment(void **state)
{
    (void)state;
    struct sample object;
    struct vg_conf_sources from = {.allow_missing = true, .ignore_environment = true};
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, NULL), VG_OK);
    dump(&object);
    assert_non_null(strstr(text, "\n# must = \n"));
}

static void help_names_every_key_with_its_facts(void **state)
{
    (void)state;
    print(vg_conf_help);
    for (size_t i = 0; i < sample_table.item_count; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n    %s\n", sample_items[i].key);
        assert_non_null(strstr(text, line));
    }
    assert_non_null(strstr(text, "duration: at least 0ms, or never; default 10m\n"));
    assert_non_null(strstr(text, "choice: one, two or three; default two\n"));
    assert_non_null(strstr(text, "[peer NAME], at most 3\n"));
    assert_non_null(strstr(text, "text: text of at most 23 bytes; required\n"));
    for (const char *line = text; line != NULL && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        assert_true(len <= 100);
        line += len + 1;
    }
}

static void the_manual_escapes_markup(void **state)
{
    (void)state;
    print(vg_conf_manual);
    assert_non_null(
        strstr(text, "# CONFIGURATION\n\n## [a]\n\n*number*\n\tA number of things.++\n"));
    assert_non_null(strstr(text, "*any\\_number*\n"));
    assert_non_null(strstr(text, "## [peer NAME]\n\nMay be given up to 3 times"));
}

static void blocks_may_go_without_help(void **state)
{
    (void)state;
    struct vg_conf_each each = sample_each[0];
    each.help = NULL;
    struct vg_conf_table table = sample_table;
    table.each = &each;
    FILE *to = fmemopen(text, sizeof text, "w");
    assert_non_null(to);
    vg_conf_dump(&table, NULL, to);
    vg_conf_help(&table, to);
    vg_conf_manual(&table, to);
    assert_int_equal(fclose(to), 0);
    assert_non_null(strstr(text, "# At most 3.\n# [peer NAME]\n"));
    assert_non_null(strstr(text, "  [peer NAME], at most 3\n    address\n"));
    assert_non_null(strstr(text, "each with its own NAME. \n\n*address*"));
}

struct changes {
    int count;
    char names[128];
};

static void on_change(void *arg, const char *name)
{
    struct changes *c = arg;
    c->count++;
    size_t len = strlen(c->names);
    snprintf(c->names + len, sizeof c->names - len, "%s ", name);
}

static void a_reload_keeps_what_is_not_reloadable(void **state)
{
    (void)state;
    struct sample running, fresh;
    struct changes changes = {0};
    load_text("[a]\nnumber = 1\n[b]\nmust = x\n[peer a]\naddress = 1\n", &running);
    load_text("[a]\nnumber = 2\nsize = 1k\n[b]\nmust = y\nfraction = 0.5\nflag = on\nchoice = one\n"
              "[peer a]\naddress = 2\n",
              &fresh);
    vg_conf_keep_fixed(&sample_table, &running, &fresh, on_change, &changes);
    assert_string_equal(changes.names, "a.size b.fraction b.flag b.choice b.must peer ");
    assert_int_equal(fresh.number, 2);
    running.number = 2;
    assert_memory_equal(&running, &fresh, sizeof running);
}

static void a_reload_of_the_same_changes_nothing(void **state)
{
    (void)state;
    struct sample running, fresh;
    struct changes changes = {0};
    load_text("[b]\nmust = x\n[peer a]\naddress = 1\n[peer b]\naddress = 2\n", &running);
    fresh = running;
    vg_conf_keep_fixed(&sample_table, &running, &fresh, on_change, &changes);
    assert_int_equal(changes.count, 0);
    load_text("[b]\nmust = x\n[peer a]\naddress = 1\n[peer c]\naddress = 2\n", &fresh);
    vg_conf_keep_fixed(&sample_table, &running, &fresh, on_change, &changes);
    load_text("[b]\nmust = x\n[peer a]\naddress = 1\n", &fresh);
    vg_conf_keep_fixed(&sample_table, &running, &fresh, on_change, &changes);
    assert_int_equal(changes.count, 2);
    assert_memory_equal(&running, &fresh, sizeof running);
}

static void blocks_whose_items_are_all_reloadable_are_taken_over(void **state)
{
    (void)state;
    struct vg_conf_item item = sample_block_items[0];
    item.reloadable = true;
    struct vg_conf_each each = sample_each[0];
    each.items = &item;
    each.item_count = 1;
    struct vg_conf_table table = sample_table;
    table.each = &each;
    struct sample running, fresh;
    struct changes changes = {0};
    load_text("[b]\nmust = x\n[peer a]\naddress = 1\n", &running);
    load_text("[b]\nmust = x\n[peer b]\naddress = 2\n", &fresh);
    vg_conf_keep_fixed(&table, &running, &fresh, on_change, &changes);
    assert_int_equal(changes.count, 0);
    assert_string_equal(fresh.blocks[0].name, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_reads_back_as_the_same_object),
        cmocka_unit_test(a_dump_never_holds_a_secret),
        cmocka_unit_test(a_dump_without_an_object_is_a_template),
        cmocka_unit_test(a_missing_required_text_is_dumped_as_a_comment),
        cmocka_unit_test(help_names_every_key_with_its_facts),
        cmocka_unit_test(the_manual_escapes_markup),
        cmocka_unit_test(blocks_may_go_without_help),
        cmocka_unit_test(a_reload_keeps_what_is_not_reloadable),
        cmocka_unit_test(a_reload_of_the_same_changes_nothing),
        cmocka_unit_test(blocks_whose_items_are_all_reloadable_are_taken_over),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
