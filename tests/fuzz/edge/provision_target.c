/* Any bytes as the provisioning file on the boot partition. What is accepted stands in its place byte for byte afterwards, and
 * the boot partition no longer holds the key; what is refused is refused in one line that does not tell the key. */
#include "../require.h"

#include "../../../edge/agent/provision.h"

#include "vigia/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_TRIED 8400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[200];
static char boot[256], place[256];

static void tidy(void)
{
    (void)unlink(boot);
    (void)unlink(place);
    (void)rmdir(folder);
}

static void put(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

static size_t get(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    require(fd >= 0);
    ssize_t len = read(fd, out, size);
    require(len >= 0 && close(fd) == 0);
    return (size_t)len;
}

static struct vgi_edge_conf fresh(void)
{
    struct vgi_edge_conf conf = {0};
    require(vg_str_copy(boot, conf.boot_file, sizeof(conf.boot_file)) &&
            vg_str_copy(place, conf.provisioning, sizeof(conf.provisioning)));
    return conf;
}

static void one_line(const struct vg_error *err, const struct vgi_edge_conf *conf)
{
    require(err->text[0] != '\0' && strchr(err->text, '\n') == NULL);
    require(strlen(conf->psk) < 16 || strstr(err->text, conf->psk) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char now[SIZE_MAX_TRIED + 1];
    struct vgi_edge_conf conf, again;
    struct vg_error err = {0};
    struct stat st;

    if (boot[0] == '\0') {
        /* In the folder that tests/fuzz/run removes, for a target that is killed does not. */
        const char *scratch = getenv("VIGIA_FUZZ_SCRATCH");
        vg_log_init("fuzz", VG_LOG_ERROR, VG_LOG_LOGFMT);
        (void)snprintf(folder, sizeof(folder), "%s/provision-XXXXXX",
                       scratch != NULL ? scratch : "/dev/shm");
        require(mkdtemp(folder) != NULL);
        (void)snprintf(boot, sizeof(boot), "%s/boot.ini", folder);
        (void)snprintf(place, sizeof(place), "%s/place.ini", folder);
        require(atexit(tidy) == 0);
    }
    if (size > SIZE_MAX_TRIED) {
        return 0;
    }
    put(boot, data, size);
    (void)unlink(place);
    conf = fresh();
    if (vgi_provision_read(&conf, &err) != VG_OK) {
        one_line(&err, &conf);
        return 0;
    }
    /* The agent goes on only with a key of this form: see edge/agent/conf.c. */
    size_t digits = strspn(conf.psk, "0123456789abcdefABCDEF");
    require(conf.psk[0] != '\0');
    if (digits < 32 || digits > 64 || digits % 2 != 0 || conf.psk[digits] != '\0') {
        return 0;
    }
    if (vgi_provision_take(&conf, &err) != VG_OK) {
        one_line(&err, &conf);
        return 0;
    }
    require(get(place, now, sizeof(now)) == size && memcmp(now, data, size) == 0);
    require(stat(place, &st) == 0 && (st.st_mode & 07777) == 0600);
    size_t len = get(boot, now, sizeof(now));
    require(len == size && memmem(now, len, conf.psk, strlen(conf.psk)) == NULL);
    /* The agent starts again, and once more without the boot partition. */
    for (int i = 0; i < 2; i++) {
        again = fresh();
        require(vgi_provision_read(&again, &err) == VG_OK);
        require(strcmp(again.device, conf.device) == 0 && strcmp(again.psk, conf.psk) == 0 &&
                strcmp(again.collectors, conf.collectors) == 0);
        (void)unlink(boot);
    }
    return 0;
}
