#include "provision.h"

#include "vigia/file.h"
#include "vigia/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 8192

/* What a wiped key's digits have become. */
#define WIPED '-'

struct provision {
    char device[sizeof(((struct vgi_edge_conf *)0)->device)];
    char collectors[sizeof(((struct vgi_edge_conf *)0)->collectors)];
    char psk[sizeof(((struct vgi_edge_conf *)0)->psk)];
    struct vgi_provision_places places;
};

#define S struct provision
static const struct vg_conf_item items[] = {
    VG_CONF_STRING(S, device, "device", "name", NULL, "The device's name."),
    VG_CONF_STRING(S, collectors, "uplink", "collectors", NULL, "Its collectors."),
    VG_CONF_STRING(S, psk, "uplink", "psk", NULL, "Its key.", .secret = true),
};
#undef S

static const struct vg_conf_table table = {
    .program = "vigia-edge",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .object_size = sizeof(struct provision),
};

static void note_place(const struct vg_conf_origins *origins, const char *key,
                       char to[VG_CONF_PLACE_MAX + 2])
{
    char place[VG_CONF_PLACE_MAX];
    (void)vg_conf_where(origins, key, place);
    (void)snprintf(to, VG_CONF_PLACE_MAX + 2, "%s: ", place);
}

static enum vg_err parse(const char *path, struct provision *out, struct vg_error *err)
{
    const struct vg_conf_sources from = {
        .file = path, .ignore_environment = true, .self_contained = true};
    struct vg_conf_origins *origins;
    enum vg_err e = vg_conf_load_traced(&table, &from, out, &origins, err);
    if (e == VG_OK) {
        note_place(origins, "device.name", out->places.device);
        note_place(origins, "uplink.collectors", out->places.collectors);
        note_place(origins, "uplink.psk", out->places.psk);
    }
    vg_conf_origins_free(origins);
    return e;
}

static bool is_wiped(const struct provision *p)
{
    return p->psk[0] == WIPED;
}

/* What is written in both places must not contradict. */
static enum vg_err take(const char *name, const char *from, char *to, size_t size,
                        struct vg_error *err)
{
    if (to[0] != '\0' && strcmp(from, to) != 0) {
        return vg_fail(
            err, VG_E_INVALID,
            "%s: set here and, differently, in the provisioning file: accepted in one of "
            "them",
            name);
    }
    return vg_str_copy(from, to, size) ? VG_OK : vg_fail(err, VG_E_RANGE, "%s: too long", name);
}

static enum vg_err fill(struct vgi_edge_conf *conf, const struct provision *p, struct vg_error *err)
{
    enum vg_err e = take("device.name", p->device, conf->device, sizeof conf->device, err);
    if (e == VG_OK) {
        e = take("uplink.psk", p->psk, conf->psk, sizeof conf->psk, err);
    }
    if (e == VG_OK) {
        conf->places = p->places;
    }
    /* The collectors are the one thing that a site may know better than the file. */
    if (e == VG_OK && conf->collectors[0] == '\0') {
        e = take("uplink.collectors", p->collectors, conf->collectors, sizeof conf->collectors,
                 err);
    } else {
        conf->places.collectors[0] = '\0';
    }
    return e;
}

enum vg_err vgi_provision_read(struct vgi_edge_conf *conf, struct vg_error *err)
{
    struct provision p = {0};
    enum vg_err e = VG_OK;
    bool fresh = false;
    if (conf->boot_file[0] != '\0' && access(conf->boot_file, F_OK) == 0) {
        e = parse(conf->boot_file, &p, err);
        fresh = e == VG_OK && !is_wiped(&p);
    } else if (conf->boot_file[0] != '\0' && errno != ENOENT) {
        /* It may hold a new key: going on with the one before would be refused for ever. */
        e = vg_fail(err, vg_err_of_errno(errno), "device.boot_file: %s: cannot be looked at: %s",
                    conf->boot_file, strerror(errno));
    }
    if (e == VG_OK && !fresh) {
        e = vg_secret_file_check(conf->provisioning, err);
        if (e != VG_OK) {
            e = vg_err_blame(err, e, "device.provisioning");
        } else {
            e = parse(conf->provisioning, &p, err);
        }
    }
    if (e == VG_OK) {
        e = fill(conf, &p, err);
    }
    explicit_bzero(&p, sizeof p);
    return e;
}

/* Over the key's characters where they stand: a FAT partition has no better way. */
static enum vg_err wipe_key(int fd, const char *path, char *text, size_t len, const char *key,
                            struct vg_error *err)
{
    size_t digits = strlen(key);
    for (char *at = memmem(text, len, key, digits); at != NULL;
         at = memmem(text, len, key, digits)) {
        memset(at, WIPED, digits);
    }
    if (pwrite(fd, text, len, 0) != (ssize_t)len || fsync(fd) != 0) {
        return vg_fail(err, VG_E_IO, "%s: the key cannot be wiped: %s", path, strerror(errno));
    }
    return VG_OK;
}

static enum vg_err move_file(const struct vgi_edge_conf *conf, int fd, char *text, size_t len,
                             struct vg_error *err)
{
    struct provision p = {0};
    enum vg_err e = parse(conf->boot_file, &p, err);
    if (e == VG_OK && !is_wiped(&p)) {
        e = vg_file_write_atomic(conf->provisioning, text, len, err);
        if (e != VG_OK) {
            e = vg_err_blame(err, e, "device.provisioning");
        }
        if (e == VG_OK) {
            e = wipe_key(fd, conf->boot_file, text, len, p.psk, err);
        }
        if (e == VG_OK) {
            vg_log_info("provisioned", "device=%s from=%s", VG_Q(p.device), VG_Q(conf->boot_file));
        }
    }
    explicit_bzero(&p, sizeof p);
    return e;
}

enum vg_err vgi_provision_take(const struct vgi_edge_conf *conf, struct vg_error *err)
{
    if (conf->boot_file[0] == '\0') {
        return VG_OK;
    }
    int fd = open(conf->boot_file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? VG_OK
                               : vg_fail(err, vg_err_of_errno(errno),
                                         "device.boot_file: %s: cannot be opened: %s",
                                         conf->boot_file, strerror(errno));
    }
    char text[FILE_MAX];
    ssize_t len = read(fd, text, sizeof text);
    enum vg_err e;
    if (len < 0) {
        e = vg_fail(err, VG_E_IO, "device.boot_file: %s: cannot be read: %s", conf->boot_file,
                    strerror(errno));
    } else if ((size_t)len == sizeof text) {
        e = vg_fail(err, VG_E_RANGE,
                    "device.boot_file: %s: accepted: a provisioning file shorter than %d "
                    "bytes",
                    conf->boot_file, FILE_MAX);
    } else {
        e = move_file(conf, fd, text, (size_t)len, err);
    }
    explicit_bzero(text, sizeof text);
    (void)close(fd);
    return e;
}
