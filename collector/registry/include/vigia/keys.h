/* Keys: devices' credentials at rest, AES-256-GCM under a key-encryption key (KEK) that lives in a
 * file.
 *
 * The file holds exactly 32 random bytes, mode 0600. A KEK's id is the first four bytes of
 * SHA-256("vigia-kek" || key) in hex. New credentials are sealed under kek_file; kek_file_old
 * (optional) still opens those sealed before a rotation. Additional data is the device's name, a
 * NUL and the entry's version in decimal. */
#ifndef VIGIA_KEYS_H
#define VIGIA_KEYS_H

#include "vigia/conf.h"
#include "vigia/err.h"

#include <stdint.h>

#define VG_PSK_BYTES   32 /* a device's pre-shared key: 256 random bits */
#define VG_KEK_BYTES   32
#define VG_KEY_ID_SIZE 9 /* 8 hex digits and NUL */
#define VG_NONCE_BYTES 12
#define VG_TAG_BYTES   16

/* A sealed PSK as it stands in a `devices` entry. */
struct vg_credential {
    char kid[VG_KEY_ID_SIZE];
    uint8_t nonce[VG_NONCE_BYTES];
    uint8_t data[VG_PSK_BYTES];
    uint8_t tag[VG_TAG_BYTES];
};

/* Section [keys] of the programs that hold the key: put the items into the table and the struct
 * into the object. */
struct vg_keys_conf {
    char kek_file[1024];
    char kek_file_old[1024];
};
#define VG_KEYS_CONF_ITEMS(S, field)                                                               \
    VG_CONF_PATH(S, field.kek_file, "keys", "kek_file", "/etc/vigia/kek",                          \
                 "File of 32 bytes, mode 0600, under which device credentials are sealed; made "   \
                 "by vigia init."),                                                                \
        VG_CONF_PATH(S, field.kek_file_old, "keys", "kek_file_old", "",                            \
                     "The key file before a rotation; still opens credentials sealed under it. "   \
                     "Empty: none.")

struct vg_keys;

/* Reads one or two key files. A file that is missing: VG_E_NOTFOUND; readable by group or others,
 * or not readable by us: VG_E_DENIED; not 32 bytes: VG_E_INVALID; err->text names the file, what
 * was found and what is accepted. */
enum vg_err vg_keys_open(const struct vg_keys_conf *conf, struct vg_keys **out,
                         struct vg_error *err) VG_NODISCARD;
/* Wipes the keys. NULL is allowed. */
void vg_keys_close(struct vg_keys *keys);
/* Makes a new key file, durable, mode 0600. VG_E_EXISTS: it never overwrites one. */
enum vg_err vg_keys_create_file(const char *path, struct vg_error *err) VG_NODISCARD;
/* Id of the key that seals now. */
const char *vg_keys_id(const struct vg_keys *keys);

enum vg_err vg_keys_seal(const struct vg_keys *keys, const char *device, uint64_t version,
                         const uint8_t psk[VG_PSK_BYTES], struct vg_credential *out,
                         struct vg_error *err) VG_NODISCARD;
/* VG_E_NOTFOUND: sealed under a key that is not here; VG_E_CORRUPT: the tag is wrong (damage, or
 * another device's or version's). */
enum vg_err vg_keys_unseal(const struct vg_keys *keys, const char *device, uint64_t version,
                           const struct vg_credential *sealed, uint8_t psk[VG_PSK_BYTES],
                           struct vg_error *err) VG_NODISCARD;

#endif
