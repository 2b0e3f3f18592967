/* A configuration with every type and a repeating section, for the tests of conf. */
#ifndef VGT_CONF_SAMPLE_H
#define VGT_CONF_SAMPLE_H

#include "vigia/conf.h"

struct sample_block {
    char name[8];
    char address[24];
    int64_t weight;
};

struct sample {
    int64_t number, any_number, duration, short_duration, size;
    double fraction, any_fraction;
    bool flag;
    int choice;
    char text[16];
    char must[16];
    char key[16];
    char path[128];
    struct sample_block blocks[3];
    size_t block_count;
};

static const struct vg_conf_item sample_items[] = {
    VG_CONF_INT(struct sample, number, "a", "number", "5", -1, 10, "things", "A number of things.",
                .reloadable = true),
    VG_CONF_INT(struct sample, any_number, "a", "any_number", "0", 0, 0, NULL, "Any number."),
    VG_CONF_DURATION(struct sample, duration, "a", "duration", "10m", 0, INT64_MAX, "Or never."),
    VG_CONF_DURATION(struct sample, short_duration, "a", "short", "250ms", 100, 1000, "Short."),
    VG_CONF_SIZE(struct sample, size, "a", "size", "64M", 1, 1LL << 40, "A size."),
    VG_CONF_DOUBLE(struct sample, fraction, "b", "fraction", "0.1", 0, 1, NULL, "A fraction."),
    VG_CONF_DOUBLE(struct sample, any_fraction, "b", "any_fraction", "0", 0, 0, "Cel", "Any."),
    VG_CONF_BOOL(struct sample, flag, "b", "flag", "no", "A flag."),
    VG_CONF_ENUM(struct sample, choice, "b", "choice", "two", "one|two|three", "A choice."),
    VG_CONF_STRING(struct sample, text, "b", "text", "",
                   "A text that may be empty and whose "
                   "explanation is so long that it needs more than one line of a comment."),
    VG_CONF_STRING(struct sample, must, "b", "must", NULL, "A text that must be given."),
    VG_CONF_STRING(struct sample, key, "b", "key", "", "A secret.", .secret = true),
    VG_CONF_PATH(struct sample, path, "b", "path", "", "A path."),
};
static const struct vg_conf_item sample_block_items[] = {
    VG_CONF_STRING(struct sample_block, address, "", "address", NULL, "Where it is."),
    VG_CONF_INT(struct sample_block, weight, "", "weight", "1", 1, 9, NULL, "Its weight."),
};
static const struct vg_conf_each sample_each[] = {{
    .section = "peer",
    .items = sample_block_items,
    .item_count = 2,
    .array_offset = offsetof(struct sample, blocks),
    .element_size = sizeof(struct sample_block),
    .count_offset = offsetof(struct sample, block_count),
    .max = 3,
    .name_offset = offsetof(struct sample_block, name),
    .name_size = sizeof(((struct sample_block *)0)->name),
    .help = "One peer.",
}};
static const struct vg_conf_table sample_table = {
    .program = "sample",
    .items = sample_items,
    .item_count = sizeof sample_items / sizeof sample_items[0],
    .each = sample_each,
    .each_count = 1,
    .object_size = sizeof(struct sample),
};

#endif
