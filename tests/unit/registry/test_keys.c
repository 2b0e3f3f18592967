/* Credentials at rest. */
#include "vigia/keys.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char folder[64];
    char a[96], b[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    snprintf(p->folder, sizeof(p->folder), "/tmp/vigia-keys-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->a, sizeof(p->a), "%s/a", p->folder);
    snprintf(p->b, sizeof(p->b), "%s/b", p->folder);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    (void)unlink(p->a);
    (void)unlink(p->b);
    assert_int_equal(rmdir(p->folder), 0);
    free(p);
    return 0;
}

static struct vg_keys *open_keys(const char *now, const char *old)
{
    struct vg_keys_conf conf = {{0}, {0}};
    struct vg_keys *keys = NULL;
    struct vg_error err;

    snprintf(conf.kek_file, sizeof(conf.kek_file), "%s", now);
    snprintf(conf.kek_file_old, sizeof(conf.kek_file_old), "%s", old);
    assert_int_equal(vg_keys_open(&conf, &keys, &err), VG_OK);
    return keys;
}

static enum vg_err try_open(const char *now, struct vg_error *err)
{
    struct vg_keys_conf conf = {{0}, {0}};
    struct vg_keys *keys = NULL;

    snprintf(conf.kek_file, sizeof(conf.kek_file), "%s", now);
    enum vg_err rc = vg_keys_open(&conf, &keys, err);
    assert_null(keys);
    return rc;
}

static void write_file(const char *path, size_t len, mode_t mode)
{
    uint8_t bytes[64] = {7};
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static const uint8_t psk[VG_PSK_BYTES] = {1, 2, 3, 250, 251, 252};

static void a_sealed_key_opens_again(void **state)
{
    struct place *p = *state;
    struct vg_credential sealed;
    struct vg_error err;
    uint8_t out[VG_PSK_BYTES];

    assert_int_equal(vg_keys_create_file(p->a, &err), VG_OK);
    struct vg_keys *keys = open_keys(p->a, "");
    assert_int_equal(vg_keys_seal(keys, "pi-42", 3, psk, &sealed, &err), VG_OK);
    assert_string_equal(sealed.kid, vg_keys_id(keys));
    assert_memory_not_equal(sealed.data, psk, sizeof(psk));
    assert_int_equal(vg_keys_unseal(keys, "pi-42", 3, &sealed, out, &err), VG_OK);
    assert_memory_equal(out, psk, sizeof(psk));
    vg_keys_close(keys);
}

static void a_credential_is_bound_to_its_device_and_version(void **state)
{
    struct place *p = *state;
    struct vg_credential sealed;
    struct vg_error err;
    uint8_t out[VG_PSK_BYTES] = {0}, untouched[VG_PSK_BYTES] = {0};

    assert_int_equal(vg_keys_create_file(p->a, &err), VG_OK);
    struct vg_keys *keys = open_keys(p->a, "");
    assert_int_equal(vg_keys_seal(keys, "pi-42", 3, psk, &sealed, &err), VG_OK);
    assert_int_equal(vg_keys_unseal(keys, "pi-42", 2, &sealed, out, &err), VG_E_CORRUPT);
    assert_int_equal(vg_keys_unseal(keys, "pi-43", 3, &sealed, out, &err), VG_E_CORRUPT);
    sealed.tag[0] ^= 1;
    assert_int_equal(vg_keys_unseal(keys, "pi-42", 3, &sealed, out, &err), VG_E_CORRUPT);
    assert_memory_equal(out, untouched, sizeof(out));
    vg_keys_close(keys);
}

static void the_old_key_still_opens_after_a_rotation_and_the_new_one_seals(void **state)
{
    struct place *p = *state;
    struct vg_credential before, after;
    struct vg_error err;
    uint8_t out[VG_PSK_BYTES];

    assert_int_equal(vg_keys_create_file(p->a, &err), VG_OK);
    assert_int_equal(vg_keys_create_file(p->b, &err), VG_OK);
    struct vg_keys *old = open_keys(p->a, "");
    struct vg_keys *both = open_keys(p->b, p->a);
    struct vg_keys *only_new = open_keys(p->b, "");
    assert_int_equal(vg_keys_seal(old, "d", 1, psk, &before, &err), VG_OK);
    assert_int_equal(vg_keys_seal(both, "d", 2, psk, &after, &err), VG_OK);
    assert_int_equal(vg_keys_unseal(both, "d", 1, &before, out, &err), VG_OK);
    assert_int_equal(vg_keys_unseal(only_new, "d", 2, &after, out, &err), VG_OK);
    assert_int_equal(vg_keys_unseal(only_new, "d", 1, &before, out, &err), VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, vg_keys_id(old)));
    vg_keys_close(old);
    vg_keys_close(both);
    vg_keys_close(only_new);
}

static void a_key_file_is_never_overwritten(void **state)
{
    struct place *p = *state;
    struct vg_error err;
    struct stat st;

    assert_int_equal(vg_keys_create_file(p->a, &err), VG_OK);
    assert_int_equal(stat(p->a, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, VG_KEK_BYTES);
    assert_int_equal(vg_keys_create_file(p->a, &err), VG_E_EXISTS);
    assert_non_null(strstr(err.text, p->a));
}

static void a_missing_a_readable_and_a_wrong_sized_key_file_are_refused_by_name(void **state)
{
    struct place *p = *state;
    struct vg_error err;

    assert_int_equal(try_open(p->a, &err), VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, p->a));
    write_file(p->a, 32, 0640);
    assert_int_equal(try_open(p->a, &err), VG_E_DENIED);
    assert_non_null(strstr(err.text, "0640"));
    assert_non_null(strstr(err.text, "0600"));
    write_file(p->b, 31, 0600);
    assert_int_equal(try_open(p->b, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "31 bytes"));
    assert_int_equal(try_open(p->folder, &err), VG_E_INVALID);
}

static void a_key_file_that_is_too_long_is_refused(void **state)
{
    struct place *p = *state;
    struct vg_error err;

    write_file(p->a, 33, 0600);
    assert_int_equal(try_open(p->a, &err), VG_E_INVALID);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_sealed_key_opens_again),
        CASE(a_credential_is_bound_to_its_device_and_version),
        CASE(the_old_key_still_opens_after_a_rotation_and_the_new_one_seals),
        CASE(a_key_file_is_never_overwritten),
        CASE(a_missing_a_readable_and_a_wrong_sized_key_file_are_refused_by_name),
        CASE(a_key_file_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
