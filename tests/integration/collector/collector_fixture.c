/* What the collector's tests need of the log and of the registry, as small commands for a script:
 *
 *   init URL KEKFILE                  creates the topics and the key file
 *   device URL KEKFILE NAME VERSION STATE PSKHEX PATTERN…
 *   remove URL NAME
 *   read URL TOPIC                    every value, one a line, from the beginning
 *   client HOST PORT IDENTITY KEYHEX cid|plain LOCALPORT         see collector_client.c
 *
 * FIXTURE_PREFIX in the environment is the prefix of the topics. Kafka topics get two partitions
 * and one copy. Without arguments it checks itself in a temporary folder, as a test of its own. */
#include "fixture.h"

#include "vigia/devices.h"
#include "vigia/dlog.h"
#include "vigia/dlog_admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct vg_error err;

static void must(enum vg_err rc, const char *what)
{
    if (rc != VG_OK) {
        fprintf(stderr, "collector_fixture: %s: %s: %s\n", what, vg_err_name(rc), err.text);
        exit(1);
    }
}

static struct vg_dlog *open_log(const char *url, unsigned flags)
{
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    must(vg_dlog_conf_default(url, &conf), "url");
    const char *prefix = getenv("FIXTURE_PREFIX");
    if (prefix != NULL && !vg_str_copy(prefix, conf.prefix, sizeof(conf.prefix))) {
        must(VG_E_RANGE, "prefix");
    }
    conf.partitions = 2;
    conf.replication = 1;
    conf.min_insync = 1;
    must(vg_dlog_open(&conf, "fixture", flags, &log, &err), "open");
    return log;
}

static void on_verdict(void *arg, const struct vg_dlog_verdict *verdict)
{
    *(enum vg_err *)arg = verdict->result;
}

static void append(const char *url, const char *key, struct vg_span value)
{
    struct vg_dlog *log = open_log(url, 0);
    struct vg_dlog_appender *a = NULL;
    enum vg_err result = VG_E_TIMEOUT;

    must(vg_dlog_appender_open(log, &a, &err), "appender");
    must(vg_dlog_append(a, VG_TOPIC_DEVICES, -1, vg_span_str(key), value, on_verdict, &result),
         "append");
    must(vg_dlog_appender_drain(a, 15000, &err), "drain");
    must(result, "verdict");
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
}

static void init(const char *url, const char *kek)
{
    struct vg_dlog *log = open_log(url, VG_DLOG_MAY_CREATE);
    unsigned created = 0;
    must(vg_dlog_create(log, VG_TOPICS_ALL, &created, &err), "create");
    vg_dlog_close(log);
    must(vg_keys_create_file(kek, &err), "key file");
}

static void device(char **args, int count)
{
    struct vg_keys_conf conf = {.kek_file_old = ""};
    struct vg_device *d = vg_device_new();
    struct vg_keys *keys = NULL;
    uint8_t psk[VG_PSK_BYTES];
    unsigned long long version = 0;
    char *json = malloc(VG_DEVICE_JSON_MAX);
    size_t len = 0;

    if (d == NULL || json == NULL || !vg_str_copy(args[1], conf.kek_file, sizeof(conf.kek_file)) ||
        !vg_str_copy(args[2], d->name, sizeof(d->name)) ||
        !vg_span_to_u64(vg_span_str(args[3]), &version) ||
        !vg_unhex(vg_span_str(args[5]), psk, sizeof(psk))) {
        must(vg_fail(&err, VG_E_INVALID, "arguments"), "device");
        return;
    }
    d->version = version;
    d->period_ms = 60000;
    d->state = strcmp(args[4], "revoked") == 0 ? VG_DEVICE_REVOKED : VG_DEVICE_ACTIVE;
    for (int i = 6; i < count; i++) {
        must(vg_device_add_pattern(d, vg_span_str(args[i]), &err), "pattern");
    }
    must(vg_keys_open(&conf, &keys, &err), "keys");
    must(vg_keys_seal(keys, d->name, d->version, psk, &d->credential, &err), "seal");
    must(vg_device_encode(d, json, VG_DEVICE_JSON_MAX, &len, &err), "encode");
    append(args[0], d->name, vg_span(json, len));
    vg_keys_close(keys);
    free(json);
    free(d);
}

static size_t read_topic(const char *url, const char *name, FILE *to)
{
    static struct vg_dlog_record records[256];
    struct vg_dlog *log = open_log(url, 0);
    struct vg_dlog_reader *r = NULL;
    enum vg_topic topic;
    size_t count = 0, total = 0;

    must(vg_topic_by_name(vg_span_str(name), &topic), "topic");
    must(vg_dlog_reader_open(log, topic, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err),
         "reader");
    do {
        must(vg_dlog_read(r, 100, records, 256, &count, &err), "read");
        for (size_t i = 0; i < count; i++) {
            fprintf(to, "%.*s\n", (int)records[i].value.len, records[i].value.at);
        }
        total += count;
    } while (!vg_dlog_reader_caught_up(r));
    vg_dlog_reader_close(r);
    vg_dlog_close(log);
    return total;
}

static int check_myself(void)
{
    char folder[] = "/tmp/vigia-fixture-XXXXXX", url[128], kek[128];
    static char psk[] = "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f";
    char one[] = "1", active[] = "active", name[] = "d", pattern[] = "*";

    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(url, sizeof(url), "sqlite:%s/log.db", folder);
    (void)snprintf(kek, sizeof(kek), "%s/kek", folder);
    init(url, kek);
    char *args[] = {url, kek, name, one, active, psk, pattern};
    device(args, 7);
    size_t found = read_topic(url, "devices", stdout);
    append(url, "d", (struct vg_span){NULL, 0});
    char command[160];
    (void)snprintf(command, sizeof(command), "%s/log.db", folder);
    const char *const endings[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < 4; i++) {
        char path[192];
        (void)snprintf(path, sizeof(path), "%s%s", command, endings[i]);
        (void)unlink(path);
    }
    (void)unlink(kek);
    (void)rmdir(folder);
    return found == 1 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        return check_myself();
    }
    if (argc == 4 && strcmp(argv[1], "init") == 0) {
        init(argv[2], argv[3]);
    } else if (argc >= 8 && strcmp(argv[1], "device") == 0) {
        device(argv + 2, argc - 2);
    } else if (argc == 4 && strcmp(argv[1], "remove") == 0) {
        append(argv[2], argv[3], (struct vg_span){NULL, 0});
    } else if (argc == 4 && strcmp(argv[1], "read") == 0) {
        (void)read_topic(argv[2], argv[3], stdout);
    } else if (argc == 8 && strcmp(argv[1], "client") == 0) {
        return run_client(argc - 2, argv + 2);
    } else {
        fprintf(stderr, "collector_fixture: unknown command\n");
        return 2;
    }
    return 0;
}
