/* Loading the sample configuration, for the tests of conf: the object, the error, and short forms. */
#ifndef VGT_CONF_LOAD_H
#define VGT_CONF_LOAD_H

#include "conf_sample.h"
#include "unit.h"

static struct sample object;
static struct vg_error error;

/* Loads a.ini with this content. */
static inline enum vg_err load(const char *content)
{
    struct vg_conf_sources from = {.file = "a.ini", .ignore_environment = true};
    vgt_write("a.ini", content);
    return vg_conf_load(&sample_table, &from, &object, &error);
}

static inline enum vg_err load_sets(const char *const *sets, size_t count)
{
    struct vg_conf_sources from = {.sets = sets, .set_count = count, .ignore_environment = true};
    return vg_conf_load(&sample_table, &from, &object, &error);
}

/* Sets one key on top of the required one. */
static inline enum vg_err load_set(const char *set)
{
    const char *sets[] = {"b.must=x", set};
    return load_sets(sets, 2);
}

static inline void refused(const char *content, enum vg_err code, const char *text)
{
    assert_int_equal(load(content), code);
    assert_int_equal(error.code, code);
    assert_string_equal(error.text, text);
}

static inline void set_refused(const char *set, enum vg_err code, const char *text)
{
    assert_int_equal(load_set(set), code);
    assert_string_equal(error.text, text);
}

#endif
