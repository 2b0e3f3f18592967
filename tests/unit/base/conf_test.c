/* Loading configuration: every type, every source, every refusal with its place. */
#include "conf_sample.h"
#include "unit.h"

static struct sample object;
static struct vg_error error;

/* Loads a.ini with this content. */
static enum vg_err load(const char *content)
{
    struct vg_conf_sources from = {.file = "a.ini", .ignore_environment = true};
    vgt_write("a.ini", content);
    return vg_conf_load(&sample_table, &from, &object, &error);
}

static enum vg_err load_sets(const char *const *sets, size_t count)
{
    struct vg_conf_sources from = {.sets = sets, .set_count = count, .ignore_environment = true};
    return vg_conf_load(&sample_table, &from, &object, &error);
}

/* Sets one key on top of the required one. */
static enum vg_err load_set(const char *set)
{
    const char *sets[] = {"b.must=x", set};
    return load_sets(sets, 2);
}

static void refused(const char *content, enum vg_err code, const char *text)
{
    assert_int_equal(load(content), code);
    assert_int_equal(error.code, code);
    assert_string_equal(error.text, text);
}

static void set_refused(const char *set, enum vg_err code, const char *text)
{
    assert_int_equal(load_set(set), code);
    assert_string_equal(error.text, text);
}

static void defaults_fill_what_nobody_sets(void **state)
{
    (void)state;
    assert_int_equal(load("[b]\nmust = x\n"), VG_OK);
    assert_int_equal(object.number, 5);
    assert_int_equal(object.duration, 600000);
    assert_int_equal(object.short_duration, 250);
    assert_int_equal(object.size, 64 << 20);
    assert_true(object.fraction > 0.0999 && object.fraction < 0.1001);
    assert_false(object.flag);
    assert_int_equal(object.choice, 1);
    assert_string_equal(object.text, "");
    assert_string_equal(object.must, "x");
    assert_string_equal(object.path, "");
    assert_int_equal(object.block_count, 0);
}

static void a_file_sets_every_type(void **state)
{
    (void)state;
    assert_int_equal(
        load("; comment\n# comment\n\n[a]\nnumber = -1\nany_number=-9223372036854775808\n"
             "duration = never ; for ever\nshort : 1s\nsize = 2G\n"
             "[b]\nfraction = 5e-1\nany_fraction = -273.15\nflag = ON\nchoice = three\n"
             "text =  two words  \nmust = m\nkey = k\npath = /abs\n"
             "[peer c1]\naddress = h:1\n[peer c2]\naddress = h:2\nweight = 9\n"),
        VG_OK);
    assert_int_equal(object.number, -1);
    assert_true(object.any_number == INT64_MIN);
    assert_true(object.duration == INT64_MAX);
    assert_int_equal(object.short_duration, 1000);
    assert_true(object.size == 2LL << 30);
    assert_true(object.fraction == 0.5);
    assert_true(object.any_fraction == -273.15);
    assert_true(object.flag);
    assert_int_equal(object.choice, 2);
    assert_string_equal(object.text, "two words");
    assert_string_equal(object.path, "/abs");
    assert_int_equal(object.block_count, 2);
    assert_string_equal(object.blocks[0].name, "c1");
    assert_string_equal(object.blocks[0].address, "h:1");
    assert_int_equal(object.blocks[0].weight, 1);
    assert_string_equal(object.blocks[1].name, "c2");
    assert_int_equal(object.blocks[1].weight, 9);
}

static void a_switch_has_six_words(void **state)
{
    (void)state;
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    for (int i = 0; i < 6; i++) {
        char set[32];
        snprintf(set, sizeof set, "b.flag=%s", words[i]);
        assert_int_equal(load_set(set), VG_OK);
        assert_int_equal(object.flag, i < 3);
    }
    set_refused("b.flag=1", VG_E_INVALID, "--set: b.flag: '1', accepted: true or false");
}

static void durations_and_sizes_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long long value;
    } durations[] = {{"0ms", 0},     {"250ms", 250},  {"10s", 10000},
                     {"5m", 300000}, {"2h", 7200000}, {"30d", 2592000000}},
      sizes[] = {{"65536", 65536}, {"64k", 65536}, {"16M", 16 << 20}, {"2G", 2LL << 30}};
    int64_t value;
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        assert_int_equal(vg_conf_parse_duration(durations[i].text, &value, NULL), VG_OK);
        assert_true(value == durations[i].value);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(vg_conf_parse_size(sizes[i].text, &value, NULL), VG_OK);
        assert_true(value == sizes[i].value);
    }
    static const char *const wrong[] = {"",     "10", "s",    "10 s", "10x",
                                        "1.5s", "-",  "--1s", "1-s",  "-s"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(vg_conf_parse_duration(wrong[i], &value, &error), VG_E_INVALID);
    }
    assert_int_equal(vg_conf_parse_duration("never", &value, NULL), VG_E_RANGE);
    assert_int_equal(vg_conf_parse_size("9223372036854775807G", &value, &error), VG_E_RANGE);
    assert_int_equal(vg_conf_parse_size("99999999999999999999", &value, &error), VG_E_RANGE);
    assert_int_equal(vg_conf_parse_size("-99999999999999999999", &value, &error), VG_E_RANGE);
    assert_string_equal(error.text, "'-99999999999999999999', accepted: a size such as 65536, 64k, "
                                    "16M or 2G");
}

static void a_value_out_of_range_is_told_with_its_range(void **state)
{
    (void)state;
    refused("[a]\nnumber = 11\n", VG_E_RANGE, "a.ini:2: a.number: '11', accepted: -1 to 10 things");
    refused("[a]\nnumber = -2\n", VG_E_RANGE, "a.ini:2: a.number: '-2', accepted: -1 to 10 things");
    refused("[a]\nshort = never\n", VG_E_RANGE, "a.ini:2: a.short: 'never', accepted: 100ms to 1s");
    refused("[a]\nduration = -1s\n", VG_E_RANGE,
            "a.ini:2: a.duration: '-1s', accepted: at least 0ms, or never");
    refused("[a]\nsize = 2000G\n", VG_E_RANGE, "a.ini:2: a.size: '2000G', accepted: 1 to 1024G");
    refused("[b]\nfraction = 1.5\n", VG_E_RANGE, "a.ini:2: b.fraction: '1.5', accepted: 0 to 1");
    refused("[b]\nfraction = -1\n", VG_E_RANGE, "a.ini:2: b.fraction: '-1', accepted: 0 to 1");
    refused("[b]\ntext = 0123456789abcdef\n", VG_E_RANGE,
            "a.ini:2: b.text: '0123456789abcdef', accepted: text of at most 15 bytes");
}

static void a_value_of_another_kind_is_told_with_what_is_accepted(void **state)
{
    (void)state;
    refused("[a]\n\nnumber = many\n", VG_E_INVALID,
            "a.ini:3: a.number: 'many', accepted: -1 to 10 things");
    refused("[a]\nany_number = x\n", VG_E_INVALID,
            "a.ini:2: a.any_number: 'x', accepted: a whole number");
    refused("[b]\nany_fraction = .5\n", VG_E_INVALID,
            "a.ini:2: b.any_fraction: '.5', accepted: a number Cel");
    refused("[b]\nchoice = four\n", VG_E_INVALID,
            "a.ini:2: b.choice: 'four', accepted: one, two or three");
    refused("[b]\nchoice =\n", VG_E_INVALID, "a.ini:2: b.choice: '', accepted: one, two or three");
    refused("[b]\nmust =\n", VG_E_INVALID,
            "a.ini:2: b.must: '', accepted: text of at most 15 bytes");
    refused("[b]\ntext = a\x01z\n", VG_E_INVALID,
            "a.ini:2: b.text: 'a?z', accepted: text of at most 15 bytes");
    refused("[a]\nnumber = 0123456789012345678901234567890123456789x\n", VG_E_INVALID,
            "a.ini:2: a.number: '0123456789012345678901234567890123456789'…, accepted: -1 to 10 "
            "things");
}

static void a_secret_is_never_shown_in_an_error(void **state)
{
    (void)state;
    refused("[b]\nkey = 0123456789abcdefghi\n", VG_E_RANGE,
            "a.ini:2: b.key: the value is not accepted, accepted: text of at most 15 bytes");
}

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

static void an_unknown_key_is_told_with_the_known_ones(void **state)
{
    (void)state;
    refused("[a]\nnumbr = 1\n", VG_E_INVALID,
            "a.ini:2: a.numbr: unknown key, accepted: number any_number duration short size");
    refused("[peer x]\nport = 1\n", VG_E_INVALID,
            "a.ini:2: peer x.port: unknown key, accepted: address weight");
    set_refused("a.numbr=1", VG_E_INVALID,
                "--set: a.numbr: unknown key, accepted: number any_number duration short size");
}

static void an_unknown_section_is_told_with_the_known_ones(void **state)
{
    (void)state;
    refused("[c]\n", VG_E_INVALID, "a.ini:1: [c]: unknown section, accepted: [a] [b] [peer NAME]");
    set_refused("c.d=1", VG_E_INVALID,
                "--set: [c]: unknown section, accepted: [a] [b] [peer NAME]");
}

static void a_key_given_twice_is_told_with_its_first_line(void **state)
{
    (void)state;
    refused("[a]\nnumber = 1\n[b]\n[a]\nnumber = 1\n", VG_E_INVALID,
            "a.ini:5: a.number: given again, first in line 2");
    refused("[peer x]\naddress = 1\n[peer x]\naddress = 2\n", VG_E_INVALID,
            "a.ini:4: peer x.address: given again, first in line 2");
}

static void a_missing_required_key_is_named(void **state)
{
    (void)state;
    refused("[a]\n", VG_E_NOTFOUND, "a.ini: b.must: missing, accepted: text of at most 15 bytes");
    refused("[b]\nmust = x\n[peer x]\n", VG_E_NOTFOUND,
            "a.ini: peer x.address: missing, accepted: text of at most 23 bytes");
    assert_int_equal(load_sets(NULL, 0), VG_E_NOTFOUND);
    assert_string_equal(
        error.text, "no configuration file: b.must: missing, accepted: text of at most 15 bytes");
    struct vg_conf_sources from = {.allow_missing = true, .ignore_environment = true};
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_OK);
    assert_string_equal(object.must, "");
}

static void lines_that_are_no_ini_are_refused(void **state)
{
    (void)state;
    refused("[a]\nnumber\n[zzz]\n", VG_E_INVALID,
            "a.ini:2: neither [section] nor key = value nor a comment");
    refused("[a]\nnumber\n", VG_E_INVALID,
            "a.ini:2: neither [section] nor key = value nor a comment");
    refused("number = 1\n", VG_E_INVALID, "a.ini:1: number: no [section] before it");
    refused("[]\n", VG_E_INVALID, "a.ini:1: []: no [section] before it");
    refused("[a\n", VG_E_INVALID, "a.ini:1: a section header without ']'");
    refused(" [a] number = 1\n", VG_E_INVALID, "a.ini:1: text behind the ']'");
    refused("[peer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", VG_E_INVALID,
            "a.ini:1: a section name longer than 48 bytes");
    assert_int_equal(load("[a] ; comment\n[b] # comment\nmust = x"), VG_OK);

    static const char nul[] = "[a]\nnum\0ber = 1\n";
    vgt_write_bytes("a.ini", nul, sizeof nul - 1);
    struct vg_conf_sources from = {.file = "a.ini", .ignore_environment = true};
    assert_int_equal(vg_conf_load(&sample_table, &from, &object, &error), VG_E_INVALID);
    assert_string_equal(error.text, "a.ini:2: a NUL byte; accepted: text");

    char line[13 + VG_CONF_LINE_MAX + 1] = "[b]\nmust = x\n;";
    memset(line + 14, 'x', sizeof line - 14);
    line[sizeof line - 1] = '\0';
    assert_int_equal(load(line), VG_OK);
    char longer[VG_CONF_LINE_MAX + 64] = "[b]\n";
    memset(longer + 4, 'x', VG_CONF_LINE_MAX + 10);
    refused(longer, VG_E_INVALID, "a.ini:2: a line longer than 1000 bytes");
}

static void a_block_is_named_once_and_bounded(void **state)
{
    (void)state;
    refused("[peer]\n", VG_E_INVALID,
            "a.ini:1: [peer]: accepted: [peer NAME], NAME of 1 to 7 letters, digits and "
            "._-:@/*+");
    refused("[peer two words]\n", VG_E_INVALID,
            "a.ini:1: [peer two words]: accepted: [peer NAME], NAME of 1 to 7 letters, digits and "
            "._-:@/*+");
    refused("[peer ñ]\n", VG_E_INVALID,
            "a.ini:1: [peer ñ]: accepted: [peer NAME], NAME of 1 to 7 letters, digits and "
            "._-:@/*+");
    refused("[peer 12345678]\n", VG_E_INVALID,
            "a.ini:1: [peer 12345678]: accepted: [peer NAME], NAME of 1 to 7 letters, digits and "
            "._-:@/*+");
    refused("[peer 1]\n[peer 2]\n[peer 3]\n[peer 4]\n", VG_E_RANGE,
            "a.ini:4: [peer 4]: one more than accepted: 3 of [peer NAME]");
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

static void a_repeated_section_may_be_split_and_comes_together(void **state)
{
    (void)state;
    assert_int_equal(
        load("[b]\nmust = x\n[peer q]\naddress = 1\n[b]\ntext = t\n[peer q]\nweight = 4\n"), VG_OK);
    assert_int_equal(object.block_count, 1);
    assert_string_equal(object.blocks[0].address, "1");
    assert_int_equal(object.blocks[0].weight, 4);
    assert_string_equal(object.text, "t");
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
        cmocka_unit_test(defaults_fill_what_nobody_sets),
        cmocka_unit_test(a_file_sets_every_type),
        cmocka_unit_test(a_switch_has_six_words),
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(a_value_out_of_range_is_told_with_its_range),
        cmocka_unit_test(a_value_of_another_kind_is_told_with_what_is_accepted),
        cmocka_unit_test(a_secret_is_never_shown_in_an_error),
        cmocka_unit_test(what_a_file_could_not_say_is_refused_from_the_command_line_too),
        cmocka_unit_test(an_unknown_key_is_told_with_the_known_ones),
        cmocka_unit_test(an_unknown_section_is_told_with_the_known_ones),
        cmocka_unit_test(a_key_given_twice_is_told_with_its_first_line),
        cmocka_unit_test(a_missing_required_key_is_named),
        cmocka_unit_test(lines_that_are_no_ini_are_refused),
        cmocka_unit_test(a_block_is_named_once_and_bounded),
        cmocka_unit_test(the_command_line_reaches_and_makes_blocks),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(a_relative_path_starts_at_the_file_or_at_the_working_directory),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(a_file_may_include_one_other),
        cmocka_unit_test(a_default_that_its_own_table_refuses_is_told),
        cmocka_unit_test(a_default_of_a_block_that_its_own_table_refuses_is_told),
        cmocka_unit_test(two_kinds_of_blocks_do_not_mix),
        cmocka_unit_test(a_list_of_accepted_names_is_cut_at_the_room_of_an_error),
        cmocka_unit_test(the_same_key_may_stand_in_two_sections),
        cmocka_unit_test(a_path_too_long_for_the_system_is_refused),
        cmocka_unit_test(a_path_that_its_folder_makes_too_long_is_refused),
        cmocka_unit_test(a_repeated_section_may_be_split_and_comes_together),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
