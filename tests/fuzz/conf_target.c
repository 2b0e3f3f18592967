/* Any bytes as a configuration file. What loads must dump, and the dump must load as the same
 * object. */
#include "require.h"

#include "vigia/conf.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct block {
    char name[16];
    char text[24];
    int64_t number;
};

struct object {
    int64_t number, duration, size;
    double fraction;
    bool flag;
    int choice;
    char text[32];
    char path[256];
    struct block blocks[3];
    size_t block_count;
};

static const struct vg_conf_item items[] = {
    VG_CONF_INT(struct object, number, "a", "number", "5", -10, 1000, "things", "A number."),
    VG_CONF_DURATION(struct object, duration, "a", "duration", "10m", 0, INT64_MAX, "A duration."),
    VG_CONF_SIZE(struct object, size, "a", "size", "64M", 0, 1LL << 40, "A size."),
    VG_CONF_DOUBLE(struct object, fraction, "b", "fraction", "0.1", -1e300, 1e300, NULL, "A."),
    VG_CONF_BOOL(struct object, flag, "b", "flag", "no", "A flag."),
    VG_CONF_ENUM(struct object, choice, "b", "choice", "two", "one|two|three", "A choice."),
    VG_CONF_STRING(struct object, text, "b", "text", "", "A text."),
    VG_CONF_PATH(struct object, path, "b", "path", "", "A path."),
};
static const struct vg_conf_item block_items[] = {
    VG_CONF_STRING(struct block, text, "", "text", NULL, "A text."),
    VG_CONF_INT(struct block, number, "", "number", "1", 1, 9, NULL, "A number."),
};
static const struct vg_conf_each each[] = {{
    .section = "block",
    .items = block_items,
    .item_count = 2,
    .array_offset = offsetof(struct object, blocks),
    .element_size = sizeof(struct block),
    .count_offset = offsetof(struct object, block_count),
    .max = 3,
    .name_offset = offsetof(struct block, name),
    .name_size = sizeof(((struct block *)0)->name),
    .help = "A block.",
}};
static const struct vg_conf_table table = {
    .program = "fuzz",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .each = each,
    .each_count = 1,
    .object_size = sizeof(struct object),
};

/* Writes the bytes to a file in memory and loads it. */
static enum vg_err load(const void *bytes, size_t len, struct object *out, struct vg_error *err)
{
    char path[64];
    int fd = memfd_create("conf", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct vg_conf_sources from = {.file = path, .ignore_environment = true};
    enum vg_err code = vg_conf_load(&table, &from, out, err);
    close(fd);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct object first, again;
    static char dump[65536];
    struct vg_error err;
    if (load(data, size, &first, &err) != VG_OK) {
        require(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
        return 0;
    }
    FILE *to = fmemopen(dump, sizeof dump, "w");
    require(to != NULL);
    vg_conf_dump(&table, &first, to);
    long len = ftell(to);
    require(len > 0 && fclose(to) == 0);
    require(load(dump, (size_t)len, &again, &err) == VG_OK);
    require(memcmp(&first, &again, sizeof first) == 0);
    return 0;
}
