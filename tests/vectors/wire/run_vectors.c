/* Reads the vectors of this folder with the codec.
 *
 *   {"format": "senml-cbor", "now_ms": …, "vectors": [
 *     {"name": …, "rule": …, "hex" or "text": body, "lines": [objects of vg_batch_lines]}
 *     {"name": …, "rule": …, "hex" or "text": body, "refused": reason of the whole body, "offset":
 * byte, optional}]}
 *
 * The same files are read by tests/vectors/check_vectors.py, which shares no code with this side.
 */
#include "vigia/json.h"
#include "vigia/record.h"
#include "vigia/senml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BODY_MAX  16384
#define LINES_MAX (VG_BATCH_READINGS_MAX * 512)

static struct vg_batch batch;
static bool reason_seen[VG_REASON_COUNT];

struct vector {
    char name[128];
    char body[BODY_MAX];
    size_t body_len;
    char lines[LINES_MAX]; /* expected, each ended by a newline */
    size_t lines_len;
    char refused[32];
    bool has_lines;
    bool has_offset;
    uint64_t offset;
};

struct collected {
    char text[LINES_MAX];
    size_t len;
};

static void append(char *to, size_t *len, struct vg_span line)
{
    assert_true(*len + line.len + 1 < LINES_MAX);
    memcpy(to + *len, line.at, line.len);
    to[*len + line.len] = '\n';
    *len += line.len + 1;
}

static void collect(void *arg, struct vg_span line)
{
    struct collected *c = arg;
    append(c->text, &c->len, line);
}

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fail_msg("%s: cannot be opened", path);
    }
    const size_t size = 1 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    *len = fread(text, 1, size, f);
    assert_true(*len < size);
    (void)fclose(f);
    return text;
}

static void read_body(struct vg_json *j, bool hex, struct vector *v)
{
    struct vg_json_str s;
    assert_true(vg_json_string(j, &s));
    if (hex) {
        v->body_len = s.raw.len / 2;
        assert_true(v->body_len <= sizeof(v->body));
        assert_true(vg_unhex(s.raw, v->body, v->body_len));
        return;
    }
    /* \u0000 stands in no text vector: a JSON body with a raw NUL is a hex vector. */
    assert_true(vg_json_str_copy(s, v->body, sizeof(v->body)));
    v->body_len = strlen(v->body);
}

static void read_lines(struct vg_json *j, struct vector *v)
{
    v->has_lines = true;
    assert_true(vg_json_array(j));
    while (vg_json_element(j)) {
        assert_int_equal(vg_json_peek(j), VG_JSON_OBJECT);
        const char *from = j->at;
        assert_true(vg_json_skip(j));
        append(v->lines, &v->lines_len, vg_span(from, (size_t)(j->at - from)));
    }
}

static void read_vector(struct vg_json *j, struct vector *v)
{
    struct vg_json_str key;
    memset(v, 0, sizeof(*v));
    assert_true(vg_json_object(j));
    while (vg_json_member(j, &key)) {
        if (vg_json_str_is(key, "name")) {
            assert_true(vg_json_text(j, v->name, sizeof(v->name)));
        } else if (vg_json_str_is(key, "hex") || vg_json_str_is(key, "text")) {
            read_body(j, vg_json_str_is(key, "hex"), v);
        } else if (vg_json_str_is(key, "lines")) {
            read_lines(j, v);
        } else if (vg_json_str_is(key, "refused")) {
            assert_true(vg_json_text(j, v->refused, sizeof(v->refused)));
        } else if (vg_json_str_is(key, "offset")) {
            v->has_offset = vg_json_u64(j, &v->offset);
        } else {
            assert_true(vg_json_str_is(key, "rule") && vg_json_skip(j));
        }
    }
}

static enum vg_err decode(const char *format, const struct vector *v, struct vg_wall now,
                          struct collected *got)
{
    struct vg_error err;
    enum vg_format number;
    struct vg_span body = vg_span(v->body, v->body_len);
    if (strcmp(format, "ok") != 0) {
        assert_true(vg_format_parse(vg_span_str(format), &number));
        return vg_batch_lines(number, body, now, &batch, collect, got, &err);
    }
    enum vg_err result = vg_batch_decode_ok(body, now, &batch, &err);
    vg_batch_emit(&batch, collect, got);
    return result;
}

/* True when the codec agrees; otherwise says how it does not. */
static bool run_vector(const char *format, const struct vector *v, struct vg_wall now)
{
    static struct collected got;
    got.len = 0;
    enum vg_err result = decode(format, v, now, &got);
    for (size_t i = 0; i < batch.count; i++) {
        reason_seen[batch.reasons[i]] = true;
    }
    reason_seen[batch.reason] = true;
    if (!v->has_lines) {
        bool same = result == VG_E_INVALID && batch.count == 0 && got.len == 0 &&
                    strcmp(vg_reason_name(batch.reason), v->refused) == 0 &&
                    (!v->has_offset || batch.offset == v->offset) && batch.offset <= v->body_len;
        if (!same) {
            print_error("%s: %s\n  expected %s at %llu\n  found %s at %zu\n", format, v->name,
                        v->refused, (unsigned long long)v->offset, vg_reason_name(batch.reason),
                        batch.offset);
        }
        return same;
    }
    bool same = result == (batch.refused > 0 ? VG_E_RANGE : VG_OK) && batch.count > 0 &&
                got.len == v->lines_len && memcmp(got.text, v->lines, got.len) == 0;
    if (!same) {
        print_error("%s: %s\n  expected %.*s\n  found (%s, %s) %.*s\n", format, v->name,
                    (int)v->lines_len, v->lines, vg_err_name(result), vg_reason_name(batch.reason),
                    (int)got.len, got.text);
    }
    return same;
}

static void run_file(const char *file)
{
    static struct vector v;
    char path[512];
    char format[16] = "";
    int64_t now_ms = 0;
    size_t len;
    size_t count = 0;
    size_t wrong = 0;
    struct vg_json j;
    struct vg_json_str key;
    int written = snprintf(path, sizeof(path), "%s/tests/vectors/wire/%s", VIGIA_SOURCE_DIR, file);
    assert_true(written > 0 && (size_t)written < sizeof(path));
    char *text = read_file(path, &len);
    vg_json_init(&j, vg_span(text, len), 16);
    assert_true(vg_json_object(&j));
    while (vg_json_member(&j, &key)) {
        if (vg_json_str_is(key, "format")) {
            assert_true(vg_json_text(&j, format, sizeof(format)));
        } else if (vg_json_str_is(key, "now_ms")) {
            assert_true(vg_json_i64(&j, &now_ms));
        } else {
            assert_true(vg_json_str_is(key, "vectors") && vg_json_array(&j));
            while (vg_json_element(&j)) {
                read_vector(&j, &v);
                count++;
                wrong += run_vector(format, &v, (struct vg_wall){now_ms}) ? 0 : 1;
            }
        }
    }
    assert_true(vg_json_done(&j));
    free(text);
    print_message("%s: %zu vectors\n", file, count);
    assert_true(count > 0);
    assert_int_equal(wrong, 0);
}

static void senml_json_bodies_mean_what_the_vectors_say(void **state)
{
    (void)state;
    run_file("senml-json.json");
}

static void senml_cbor_bodies_mean_what_the_vectors_say(void **state)
{
    (void)state;
    run_file("senml-cbor.json");
}

static void plain_json_bodies_mean_what_the_vectors_say(void **state)
{
    (void)state;
    run_file("plain-json.json");
}

static void ok_bodies_mean_what_the_vectors_say(void **state)
{
    (void)state;
    run_file("ok.json");
}

/* Runs last. `identity` is of the query, `foreign` of the collector. */
static void every_reason_of_a_body_has_a_vector(void **state)
{
    (void)state;
    size_t missing = 0;
    for (unsigned r = VG_REASON_NONE; r < VG_REASON_COUNT; r++) {
        if (!reason_seen[r] && r != VG_REASON_IDENTITY && r != VG_REASON_FOREIGN) {
            print_error("no vector is refused with %s\n", vg_reason_name((enum vg_reason)r));
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senml_json_bodies_mean_what_the_vectors_say),
        cmocka_unit_test(senml_cbor_bodies_mean_what_the_vectors_say),
        cmocka_unit_test(plain_json_bodies_mean_what_the_vectors_say),
        cmocka_unit_test(ok_bodies_mean_what_the_vectors_say),
        cmocka_unit_test(every_reason_of_a_body_has_a_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
