/* Loading configuration from a file: every type, and every refusal with its place. */
#include "conf_load.h"

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
    assert_int_equal(vg_conf_parse_duration("-2s", &value, &error), VG_E_RANGE);
    assert_string_equal(error.text, "'-2s', accepted: at least 0");
    assert_int_equal(vg_conf_parse_size("-1k", &value, &error), VG_E_RANGE);
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
        cmocka_unit_test(an_unknown_key_is_told_with_the_known_ones),
        cmocka_unit_test(an_unknown_section_is_told_with_the_known_ones),
        cmocka_unit_test(a_key_given_twice_is_told_with_its_first_line),
        cmocka_unit_test(a_missing_required_key_is_named),
        cmocka_unit_test(lines_that_are_no_ini_are_refused),
        cmocka_unit_test(a_block_is_named_once_and_bounded),
        cmocka_unit_test(a_repeated_section_may_be_split_and_comes_together),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
