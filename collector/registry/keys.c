/* Device credentials at rest: AES-256-GCM under a key file, bound to the device's name and the
 * entry's version. */
#include "vigia/keys.h"

#include "vigia/random.h"
#include "vigia/span.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct kek {
    char id[VG_KEY_ID_SIZE];
    uint8_t key[VG_KEK_BYTES];
};

struct vg_keys {
    size_t count;
    struct kek keks[2]; /* the first one seals */
};

#define AAD_MAX 128

static enum vg_err kek_id(const uint8_t key[VG_KEK_BYTES], char id[VG_KEY_ID_SIZE],
                          struct vg_error *err)
{
    static const char label[] = "vigia-kek";
    uint8_t input[sizeof(label) - 1 + VG_KEK_BYTES], digest[32];

    memcpy(input, label, sizeof(label) - 1);
    memcpy(input + sizeof(label) - 1, key, VG_KEK_BYTES);
    int rc = mbedtls_sha256(input, sizeof(input), digest, 0);
    mbedtls_platform_zeroize(input, sizeof(input));
    if (rc != 0) {
        return vg_fail(err, VG_E_FATAL, "SHA-256 failed (-0x%04x)", (unsigned)-rc);
    }
    vg_hex(digest, 4, id);
    return VG_OK;
}

/* Reads the descriptor's 32 bytes; a longer file is refused too. */
static enum vg_err kek_read(int fd, const char *path, struct kek *kek, struct vg_error *err)
{
    struct stat st;
    uint8_t bytes[VG_KEK_BYTES + 1];
    size_t got = 0;

    if (fstat(fd, &st) != 0) {
        return vg_fail(err, VG_E_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return vg_fail(err, VG_E_INVALID,
                       "%s: not a regular file, accepted: a key file of 32 bytes", path);
    }
    if ((st.st_mode & 077) != 0) {
        return vg_fail(err, VG_E_DENIED,
                       "%s: mode is %04o, accepted: 0600 (nobody else may read it)", path,
                       (unsigned)(st.st_mode & 07777));
    }
    while (got < sizeof(bytes)) {
        ssize_t n = read(fd, bytes + got, sizeof(bytes) - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return vg_fail(err, VG_E_IO, "%s: %s", path, strerror(errno));
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    if (got != VG_KEK_BYTES) {
        mbedtls_platform_zeroize(bytes, sizeof(bytes));
        return vg_fail(err, VG_E_INVALID, "%s: %lld bytes, accepted: exactly %d", path,
                       (long long)st.st_size, VG_KEK_BYTES);
    }
    memcpy(kek->key, bytes, VG_KEK_BYTES);
    mbedtls_platform_zeroize(bytes, sizeof(bytes));
    return kek_id(kek->key, kek->id, err);
}

static enum vg_err kek_load(const char *path, struct kek *kek, struct vg_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        enum vg_err code = errno == ENOENT   ? VG_E_NOTFOUND
                           : errno == EACCES ? VG_E_DENIED
                                             : VG_E_IO;
        return vg_fail(err, code, "%s: %s%s", path, strerror(errno),
                       code == VG_E_NOTFOUND ? ", accepted: a key file (vigia init makes it)" : "");
    }
    enum vg_err rc = kek_read(fd, path, kek, err);
    (void)close(fd);
    return rc;
}

static enum vg_err blame(enum vg_err rc, struct vg_error *err, const char *key)
{
    return rc == VG_OK ? VG_OK : vg_err_blame(err, rc, key);
}

enum vg_err vg_keys_open(const struct vg_keys_conf *conf, struct vg_keys **out,
                         struct vg_error *err)
{
    struct vg_keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for keys");
    }
    enum vg_err rc = blame(kek_load(conf->kek_file, &keys->keks[0], err), err, "keys.kek_file");
    if (rc == VG_OK) {
        keys->count = 1;
        if (conf->kek_file_old[0] != '\0') {
            rc = blame(kek_load(conf->kek_file_old, &keys->keks[1], err), err, "keys.kek_file_old");
            keys->count = 2;
        }
    }
    if (rc != VG_OK) {
        vg_keys_close(keys);
        return rc;
    }
    *out = keys;
    return VG_OK;
}

void vg_keys_close(struct vg_keys *keys)
{
    if (keys != NULL) {
        mbedtls_platform_zeroize(keys, sizeof(*keys));
        free(keys);
    }
}

static enum vg_err sync_folder(const char *path, struct vg_error *err)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory");
    }
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0 || fsync(fd) != 0) {
        int saved = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return vg_fail(err, VG_E_IO, "%s: its folder: %s", path, strerror(saved));
    }
    (void)close(fd);
    return VG_OK;
}

enum vg_err vg_keys_create_file(const char *path, struct vg_error *err)
{
    uint8_t key[VG_KEK_BYTES];

    if (vg_random_bytes(key, sizeof(key)) != VG_OK) {
        return vg_fail(err, VG_E_IO, "the kernel gives no random bytes");
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        mbedtls_platform_zeroize(key, sizeof(key));
        return vg_fail(err, errno == EEXIST ? VG_E_EXISTS : VG_E_IO, "%s: %s", path,
                       strerror(errno));
    }
    bool good = fchmod(fd, 0600) == 0 && write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) &&
                fsync(fd) == 0;
    int saved = errno;
    mbedtls_platform_zeroize(key, sizeof(key));
    if (close(fd) != 0 && good) {
        good = false;
        saved = errno;
    }
    if (!good) {
        (void)unlink(path);
        return vg_fail(err, VG_E_IO, "%s: %s", path, strerror(saved));
    }
    return sync_folder(path, err);
}

const char *vg_keys_id(const struct vg_keys *keys)
{
    return keys->keks[0].id;
}

/* device name, NUL, version in decimal; the length, or 0 when the name is too long. */
static size_t make_aad(const char *device, uint64_t version, uint8_t aad[AAD_MAX])
{
    size_t len = strlen(device);
    if (len + 1 + 21 > AAD_MAX) {
        return 0;
    }
    memcpy(aad, device, len + 1);
    int n = snprintf((char *)aad + len + 1, AAD_MAX - len - 1, "%" PRIu64, version);
    return len + 1 + (size_t)n;
}

enum vg_err vg_keys_seal(const struct vg_keys *keys, const char *device, uint64_t version,
                         const uint8_t psk[VG_PSK_BYTES], struct vg_credential *out,
                         struct vg_error *err)
{
    uint8_t aad[AAD_MAX];
    size_t aad_len = make_aad(device, version, aad);
    struct vg_credential sealed;
    mbedtls_gcm_context gcm;

    if (aad_len == 0) {
        return vg_fail(err, VG_E_INVALID, "device name is too long");
    }
    if (vg_random_bytes(sealed.nonce, sizeof(sealed.nonce)) != VG_OK) {
        return vg_fail(err, VG_E_IO, "the kernel gives no random bytes");
    }
    memcpy(sealed.kid, keys->keks[0].id, sizeof(sealed.kid));
    mbedtls_gcm_init(&gcm);
    int rc = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, keys->keks[0].key, VG_KEK_BYTES * 8);
    if (rc == 0) {
        rc = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, VG_PSK_BYTES, sealed.nonce,
                                       sizeof(sealed.nonce), aad, aad_len, psk, sealed.data,
                                       sizeof(sealed.tag), sealed.tag);
    }
    mbedtls_gcm_free(&gcm);
    if (rc != 0) {
        return vg_fail(err, VG_E_FATAL, "AES-GCM failed (-0x%04x)", (unsigned)-rc);
    }
    *out = sealed;
    return VG_OK;
}

enum vg_err vg_keys_unseal(const struct vg_keys *keys, const char *device, uint64_t version,
                           const struct vg_credential *sealed, uint8_t psk[VG_PSK_BYTES],
                           struct vg_error *err)
{
    uint8_t aad[AAD_MAX], plain[VG_PSK_BYTES];
    size_t aad_len = make_aad(device, version, aad);
    const struct kek *kek = NULL;
    mbedtls_gcm_context gcm;

    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->keks[i].id, sealed->kid) == 0) {
            kek = &keys->keks[i];
            break;
        }
    }
    if (kek == NULL) {
        return vg_fail(
            err, VG_E_NOTFOUND,
            "device %s: its credential is sealed under key %s, which is not here (key here: %s)",
            device, sealed->kid, keys->keks[0].id);
    }
    mbedtls_gcm_init(&gcm);
    int rc = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, kek->key, VG_KEK_BYTES * 8);
    if (rc == 0) {
        rc = mbedtls_gcm_auth_decrypt(&gcm, VG_PSK_BYTES, sealed->nonce, sizeof(sealed->nonce), aad,
                                      aad_len, sealed->tag, sizeof(sealed->tag), sealed->data,
                                      plain);
    }
    mbedtls_gcm_free(&gcm);
    if (rc != 0 || aad_len == 0) {
        return vg_fail(err, VG_E_CORRUPT,
                       "device %s version %" PRIu64
                       ": its credential does not open (damaged, or another entry's)",
                       device, version);
    }
    memcpy(psk, plain, VG_PSK_BYTES);
    mbedtls_platform_zeroize(plain, sizeof(plain));
    return VG_OK;
}
