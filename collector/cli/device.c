/* vigia device …: entries of the `devices` topic, and the provisioning files that agents start
 * with. */
#include "cli_log.h"

#include "vigia/dlog_admin.h"
#include "vigia/file.h"
#include "vigia/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROVISION_MAX 4096
#define COLLECTOR_MAX 1024
/* Room for the newest entry of every device while one that cannot be read is looked for. */
#define ENTRIES_BYTES_MAX ((size_t)1 << 30)
#define DEFAULT_PERIOD    "60s"
#define DEFAULT_ADDRESS   "127.0.0.1:5684"

static const struct cli_column columns[] = {
    {"device", "DEVICE"}, {"state", "STATE"},     {"class", "CLASS"},
    {"period", "PERIOD"}, {"version", "VERSION"}, {"sensors", "SENSORS"},
};

static cJSON *device_json(const struct vg_device *d)
{
    cJSON *row = cJSON_CreateObject();
    cJSON *sensors = cJSON_CreateArray();
    char period[32];

    (void)snprintf(period, sizeof(period), "%" PRId64 "ms", d->period_ms);
    cJSON_AddStringToObject(row, "device", d->name);
    cJSON_AddStringToObject(row, "state", d->state == VG_DEVICE_ACTIVE ? "active" : "revoked");
    cJSON_AddStringToObject(row, "class", d->class_name);
    cJSON_AddStringToObject(row, "period", period);
    cJSON_AddNumberToObject(row, "version", (double)d->version);
    for (size_t i = 0; i < d->pattern_count; i++) {
        cJSON_AddItemToArray(sensors, cJSON_CreateString(d->patterns[i]));
    }
    cJSON_AddItemToObject(row, "sensors", sensors);
    return row;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct vg_device *const *)a)->name,
                  (*(const struct vg_device *const *)b)->name);
}

int cli_device_list(struct cli *cli)
{
    struct vg_devices *table = NULL;
    struct cli_rows *rows;
    const struct vg_device **sorted;
    size_t count;
    size_t cursor = 0;
    int exit_code = cli_devices(cli, &table);

    if (exit_code != VG_EXIT_OK) {
        return exit_code;
    }
    count = vg_devices_count(table);
    sorted = calloc(count + 1, sizeof(const struct vg_device *));
    rows = cli_rows_new(cli, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; sorted != NULL && i < count; i++) {
        sorted[i] = vg_devices_next(table, &cursor);
    }
    if (sorted != NULL) {
        qsort(sorted, count, sizeof(const struct vg_device *), by_name);
        for (size_t i = 0; rows != NULL && i < count && cli_rows_add(rows, device_json(sorted[i]));
             i++) {
        }
    }
    exit_code = cli_rows_end(rows, "no devices: enter one with vigia device add");
    free(sorted);
    vg_devices_free(table);
    return exit_code;
}

static int no_device(const struct cli *cli)
{
    return cli_fail(cli, "no device '%s': vigia device list tells which there are", cli->args[0]);
}

/* The entry of args[0] as a copy that may be changed; or *out stays NULL, the reason is told and
 * the exit code returned. */
static int find_copy(struct cli *cli, struct vg_device **out)
{
    struct vg_devices *table = NULL;
    const struct vg_device *found;
    int exit_code = cli_devices(cli, &table);

    if (exit_code != VG_EXIT_OK) {
        return exit_code;
    }
    found = vg_devices_find(table, vg_span_str(cli->args[0]));
    if (found == NULL) {
        exit_code = no_device(cli);
    } else {
        *out = vg_device_new();
        if (*out == NULL) {
            exit_code = cli_fail(cli, "no memory");
        } else {
            memcpy(*out, found, sizeof(*found) + found->pattern_count * sizeof(found->patterns[0]));
        }
    }
    vg_devices_free(table);
    return exit_code;
}

int cli_device_show(struct cli *cli)
{
    struct vg_device *device = NULL;
    int exit_code = find_copy(cli, &device);

    if (device == NULL) {
        return exit_code;
    }
    if (cli->json) {
        struct cli_rows *rows = cli_rows_new(cli, columns, sizeof(columns) / sizeof(columns[0]));

        if (rows != NULL) {
            (void)cli_rows_add(rows, device_json(device));
        }
        exit_code = cli_rows_end(rows, "");
    } else {
        (void)printf("device   %s\nstate    %s\nclass    %s\nperiod   %" PRId64
                     " ms\nversion  %" PRIu64 "\nkey id   %s\nsensors ",
                     device->name, device->state == VG_DEVICE_ACTIVE ? "active" : "revoked",
                     device->class_name, device->period_ms, device->version,
                     device->credential.kid);
        for (size_t i = 0; i < device->pattern_count; i++) {
            (void)printf(" %s", device->patterns[i]);
        }
        (void)putchar('\n');
    }
    free(device);
    return exit_code;
}

static int write_entry(struct cli *cli, const struct vg_device *device)
{
    char *json = malloc(VG_DEVICE_JSON_MAX);
    struct vg_error err = {0};
    size_t len = 0;
    enum vg_err code;

    if (json == NULL) {
        return cli_fail(cli, "no memory");
    }
    code = vg_device_encode(device, json, VG_DEVICE_JSON_MAX, &len, &err);
    if (code == VG_OK) {
        code = cli_put(cli, VG_TOPIC_DEVICES, vg_span_str(device->name), vg_span(json, len), &err);
    }
    free(json);
    return code == VG_OK ? VG_EXIT_OK : cli_fail_err(cli, code, &err);
}

/* "a:1, b:2" from every --collector. */
static bool collector_list(const struct cli *cli, char out[COLLECTOR_MAX])
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < cli->value_count; i++) {
        if (strcmp(cli->values[i].name, "collector") == 0) {
            int n = snprintf(out + used, COLLECTOR_MAX - used, "%s%s", used == 0 ? "" : ", ",
                             cli->values[i].text);

            if (n < 0 || (size_t)n >= COLLECTOR_MAX - used) {
                return false;
            }
            used += (size_t)n;
        }
    }
    return used > 0 || vg_str_copy(DEFAULT_ADDRESS, out, COLLECTOR_MAX);
}

/* The file that the agent starts with. Written before the entry: a device whose file is lost could
 * never speak. */
static int write_provisioning(const struct cli *cli, const char *name,
                              const uint8_t psk[VG_PSK_BYTES], const char *path)
{
    char text[PROVISION_MAX];
    char collectors[COLLECTOR_MAX];
    char hex[2 * VG_PSK_BYTES + 1];
    struct vg_error err = {0};
    enum vg_err code;
    int n;

    if (!collector_list(cli, collectors)) {
        return cli_fail(cli, "--collector: more than %d characters in all", COLLECTOR_MAX - 1);
    }
    vg_hex(psk, VG_PSK_BYTES, hex);
    n = snprintf(
        text, sizeof(text),
        "; Provisioning of one Vigía device. It holds the device's key: keep it to yourself.\n"
        "[device]\nname = %s\n\n[uplink]\ncollectors = %s\npsk = %s\n",
        name, collectors, hex);
    explicit_bzero(hex, sizeof(hex));
    code = vg_file_write_atomic(path, text, (size_t)n, &err);
    explicit_bzero(text, sizeof(text));
    return code == VG_OK ? VG_EXIT_OK : cli_fail_err(cli, code, &err);
}

static void show_key(const struct cli *cli, const uint8_t psk[VG_PSK_BYTES])
{
    char hex[2 * VG_PSK_BYTES + 1];

    if (cli_flag(cli, "show-key")) {
        vg_hex(psk, VG_PSK_BYTES, hex);
        (void)puts(hex);
        explicit_bzero(hex, sizeof(hex));
    }
}

/* A new key for this version of the entry: provisioning file first, then the entry. */
static int give_key(struct cli *cli, struct vg_device *device)
{
    struct vg_keys *keys = NULL;
    struct vg_error err = {0};
    uint8_t psk[VG_PSK_BYTES];
    char default_path[VG_DEVICE_NAME_MAX + 32];
    const char *path;
    enum vg_err code = vg_keys_open(&cli->conf.keys, &keys, &err);
    int exit_code;

    if (code == VG_OK) {
        code = vg_random_bytes(psk, sizeof(psk));
    }
    if (code == VG_OK) {
        code = vg_keys_seal(keys, device->name, device->version, psk, &device->credential, &err);
    }
    vg_keys_close(keys);
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    (void)snprintf(default_path, sizeof(default_path), "%s.provision.ini", device->name);
    path = cli_option(cli, "out", default_path);
    exit_code = write_provisioning(cli, device->name, psk, path);
    if (exit_code == VG_EXIT_OK) {
        exit_code = write_entry(cli, device);
    }
    if (exit_code == VG_EXIT_OK) {
        (void)fprintf(stderr,
                      "vigia: device '%s', version %" PRIu64
                      "; give %s to the agent, then delete it here\n",
                      device->name, device->version, path);
        show_key(cli, psk);
    }
    explicit_bzero(psk, sizeof(psk));
    return exit_code;
}

static int fill_new(struct cli *cli, struct vg_device *device)
{
    struct vg_error err = {0};

    if (!vg_device_name_valid(vg_span_str(cli->args[0])) ||
        !vg_str_copy(cli->args[0], device->name, sizeof(device->name))) {
        return cli_fail(cli, "name '%s': accepted are 1 to %d of A-Z a-z 0-9 . _ : -", cli->args[0],
                        VG_DEVICE_NAME_MAX);
    }
    if (!vg_str_copy(cli_option(cli, "class", "sensor"), device->class_name,
                     sizeof(device->class_name))) {
        return cli_fail(cli, "--class: at most %d characters", VG_DEVICE_CLASS_MAX);
    }
    if (vg_conf_parse_duration(cli_option(cli, "period", DEFAULT_PERIOD), &device->period_ms,
                               &err) != VG_OK) {
        return cli_fail(cli, "--period: %s", err.text);
    }
    if (device->period_ms != 0 && (device->period_ms < VG_DEVICE_PERIOD_MIN_MS ||
                                   device->period_ms > VG_DEVICE_PERIOD_MAX_MS)) {
        return cli_fail(
            cli, "--period: %" PRId64 " ms; accepted are 0s (not supervised) or 100ms to 31d",
            device->period_ms);
    }
    for (size_t i = 0; i < cli->value_count; i++) {
        if (strcmp(cli->values[i].name, "sensor") == 0 &&
            vg_device_add_pattern(device, vg_span_str(cli->values[i].text), &err) != VG_OK) {
            return cli_fail(cli, "--sensor %s: %s", cli->values[i].text, err.text);
        }
    }
    device->version = 1;
    device->state = VG_DEVICE_ACTIVE;
    return VG_EXIT_OK;
}

int cli_device_add(struct cli *cli)
{
    struct vg_devices *table = NULL;
    struct vg_device *device = vg_device_new();
    int exit_code;

    if (device == NULL) {
        return cli_fail(cli, "no memory");
    }
    exit_code = fill_new(cli, device);
    if (exit_code == VG_EXIT_OK) {
        exit_code = cli_devices(cli, &table);
    }
    if (exit_code == VG_EXIT_OK && vg_devices_find(table, vg_span_str(device->name)) != NULL) {
        exit_code = cli_fail(
            cli, "device '%s' is there already: rotate gives it a new key, remove deletes it",
            device->name);
    }
    vg_devices_free(table);
    if (exit_code == VG_EXIT_OK) {
        exit_code = give_key(cli, device);
    }
    free(device);
    return exit_code;
}

int cli_device_rotate(struct cli *cli)
{
    struct vg_device *device = NULL;
    int exit_code = find_copy(cli, &device);

    if (device != NULL) {
        if (device->state != VG_DEVICE_ACTIVE) {
            exit_code =
                cli_fail(cli, "device '%s' is revoked: remove it and add it again", device->name);
        } else {
            device->version++;
            exit_code = give_key(cli, device);
        }
    }
    free(device);
    return exit_code;
}

int cli_device_revoke(struct cli *cli)
{
    struct vg_device *device = NULL;
    int exit_code = find_copy(cli, &device);

    if (device != NULL && device->state == VG_DEVICE_ACTIVE) {
        device->version++;
        device->state = VG_DEVICE_REVOKED;
        exit_code = write_entry(cli, device);
    }
    if (exit_code == VG_EXIT_OK) {
        (void)fprintf(stderr, "vigia: device '%s' is revoked\n", device->name);
    }
    free(device);
    return exit_code;
}

struct wanted {
    struct vg_span name;
    bool found;
};

static void on_entry(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    struct wanted *wanted = arg;

    (void)partition;
    if (value.len > 0 && vg_span_eq(key, wanted->name)) {
        wanted->found = true;
    }
}

/* Whether `devices` has something under the name, readable or not. */
static enum vg_err find_any(struct cli *cli, const char *name, bool *found, struct vg_error *err)
{
    const struct vg_dlog_latest_limits limits = {CLI_LOG_WAIT_MS, ENTRIES_BYTES_MAX};
    struct wanted wanted = {.name = vg_span_str(name)};
    enum vg_err code = vg_dlog_latest(cli->log, VG_TOPIC_DEVICES, &limits, on_entry, &wanted, err);

    if (code == VG_OK) {
        *found = wanted.found;
    }
    return code;
}

/* An entry that cannot be read is in no table, and may go all the same. */
int cli_device_remove(struct cli *cli)
{
    const char *name = cli->args[0];
    struct vg_devices *table = NULL;
    struct vg_error err = {0};
    enum vg_err code = VG_OK;
    bool readable, found;
    int exit_code = cli_devices(cli, &table);

    if (exit_code != VG_EXIT_OK) {
        return exit_code;
    }
    readable = vg_devices_find(table, vg_span_str(name)) != NULL;
    found = readable;
    if (!readable && vg_devices_refused(table) > 0) {
        code = find_any(cli, name, &found, &err);
    }
    vg_devices_free(table);
    if (code == VG_OK && !found) {
        return no_device(cli);
    }
    if (code == VG_OK) {
        code = cli_put(cli, VG_TOPIC_DEVICES, vg_span_str(name), vg_span(NULL, 0), &err);
    }
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    (void)fprintf(stderr, "vigia: device '%s' is removed%s\n", name,
                  readable ? "" : "; its entry could not be read");
    return VG_EXIT_OK;
}
