/* One entry of the `devices` topic: its rules and its JSON form. */
#include "vigia/devices.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#define DEPTH_MAX 8

/* cJSON gives NULL for text that is no JSON and for memory that is not there. An entry refused for
 * the second reason would take a good device away. */
static _Thread_local bool no_memory;

static void *allocate(size_t size)
{
    void *p = malloc(size);
    no_memory = no_memory || p == NULL;
    return p;
}

static void take_hooks(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = allocate, .free_fn = free});
}

struct vg_device *vg_device_new(void)
{
    struct vg_device *device =
        calloc(1, sizeof(*device) + VG_DEVICE_PATTERNS_MAX * sizeof(device->patterns[0]));
    if (device != NULL) {
        device->version = 1;
    }
    return device;
}

/* The character set of SenML names (RFC 8428 §4.5.1); `slash` allows '/'. */
static bool name_chars(struct vg_span s, bool slash)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool mark = c == '-' || c == '.' || c == '_' || c == ':' || (slash && c == '/');
        if (!alnum && !(mark && i > 0)) {
            return false;
        }
    }
    return true;
}

bool vg_device_name_valid(struct vg_span name)
{
    return name.len > 0 && name.len <= VG_DEVICE_NAME_MAX && name_chars(name, false);
}

bool vg_device_pattern_valid(struct vg_span pattern)
{
    if (pattern.len == 0) {
        return false;
    }
    if (pattern.at[pattern.len - 1] == '*') {
        pattern.len--;
    }
    return pattern.len <= VG_SENSOR_ID_MAX && name_chars(pattern, true);
}

enum vg_err vg_device_add_pattern(struct vg_device *device, struct vg_span pattern,
                                  struct vg_error *err)
{
    if (!vg_device_pattern_valid(pattern)) {
        return vg_fail(
            err, VG_E_INVALID,
            "sensor pattern '%.*s': accepted is a sensor id of at most %d letters, digits and - . "
            "_ : / "
            "(a letter or digit first), or the beginning of one and a single '*' at the end",
            (int)(pattern.len > 80 ? 80 : pattern.len), pattern.at, VG_SENSOR_ID_MAX);
    }
    for (size_t i = 0; i < device->pattern_count; i++) {
        if (vg_span_eq(vg_span_str(device->patterns[i]), pattern)) {
            return vg_fail(err, VG_E_EXISTS, "sensor pattern '%s' is named twice",
                           device->patterns[i]);
        }
    }
    if (device->pattern_count == VG_DEVICE_PATTERNS_MAX) {
        return vg_fail(err, VG_E_FULL, "more than %d sensor patterns", VG_DEVICE_PATTERNS_MAX);
    }
    if (!vg_span_copy(pattern, device->patterns[device->pattern_count],
                      sizeof(device->patterns[0]))) {
        return vg_fail(err, VG_E_INVALID, "sensor pattern is too long");
    }
    device->pattern_count++;
    return VG_OK;
}

bool vg_device_may(const struct vg_device *device, struct vg_span sensor)
{
    if (vg_span_eq(sensor, vg_span_str(device->name))) {
        return true;
    }
    for (size_t i = 0; i < device->pattern_count; i++) {
        const char *pattern = device->patterns[i];
        size_t len = strlen(pattern);
        if (pattern[len - 1] == '*') {
            if (sensor.len >= len && memcmp(sensor.at, pattern, len - 1) == 0) {
                return true;
            }
        } else if (sensor.len == len && memcmp(sensor.at, pattern, len) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- encode ---- */

static enum vg_err check(const struct vg_device *device, struct vg_error *err)
{
    if (!vg_device_name_valid(vg_span_str(device->name))) {
        return vg_fail(err, VG_E_INVALID,
                       "device name '%s': accepted are 1 to %d letters, digits and - . _ : (a "
                       "letter or digit first)",
                       device->name, VG_DEVICE_NAME_MAX);
    }
    if (device->version == 0 || device->version > VG_DEVICE_VERSION_MAX) {
        return vg_fail(err, VG_E_INVALID, "device %s: version %" PRIu64 " is out of range",
                       device->name, device->version);
    }
    if (device->period_ms != 0 && (device->period_ms < VG_DEVICE_PERIOD_MIN_MS ||
                                   device->period_ms > VG_DEVICE_PERIOD_MAX_MS)) {
        return vg_fail(
            err, VG_E_INVALID, "device %s: period %" PRId64 " ms, accepted: 0 or %lld to %lld",
            device->name, device->period_ms, VG_DEVICE_PERIOD_MIN_MS, VG_DEVICE_PERIOD_MAX_MS);
    }
    if (!name_chars(vg_span_str(device->class_name), false)) {
        return vg_fail(err, VG_E_INVALID,
                       "device %s: class '%s', accepted: letters, digits and - . _ :", device->name,
                       device->class_name);
    }
    return VG_OK;
}

struct text {
    char *at;
    size_t size, len;
    bool full;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
    va_list args;

    if (t->full) {
        return;
    }
    va_start(args, fmt);
    int n = vsnprintf(t->at + t->len, t->size - t->len, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= t->size - t->len) {
        t->full = true;
    } else {
        t->len += (size_t)n;
    }
}

/* Every string written here has passed a check that leaves nothing to escape. */
enum vg_err vg_device_encode(const struct vg_device *device, char *out, size_t size, size_t *len,
                             struct vg_error *err)
{
    struct text t = {.at = out, .size = size, .full = size == 0};
    char hex[2 * VG_PSK_BYTES + 1];

    enum vg_err rc = check(device, err);
    if (rc != VG_OK) {
        return rc;
    }
    put(&t, "{\"v\":1,\"device\":\"%s\",\"version\":%" PRIu64 ",\"state\":\"%s\",\"sensors\":[",
        device->name, device->version, device->state == VG_DEVICE_ACTIVE ? "active" : "revoked");
    for (size_t i = 0; i < device->pattern_count; i++) {
        if (!vg_device_pattern_valid(vg_span_str(device->patterns[i]))) {
            return vg_fail(err, VG_E_INVALID, "device %s: a malformed sensor pattern",
                           device->name);
        }
        put(&t, "%s\"%s\"", i == 0 ? "" : ",", device->patterns[i]);
    }
    put(&t, "],\"period_ms\":%" PRId64 ",\"class\":\"%s\"", device->period_ms, device->class_name);
    put(&t, ",\"credential\":{\"kid\":\"%s\"", device->credential.kid);
    vg_hex(device->credential.nonce, VG_NONCE_BYTES, hex);
    put(&t, ",\"nonce\":\"%s\"", hex);
    vg_hex(device->credential.data, VG_PSK_BYTES, hex);
    put(&t, ",\"data\":\"%s\"", hex);
    vg_hex(device->credential.tag, VG_TAG_BYTES, hex);
    put(&t, ",\"tag\":\"%s\"}}", hex);
    if (t.full) {
        return vg_fail(err, VG_E_FULL, "device %s: its entry is longer than %zu bytes",
                       device->name, size);
    }
    *len = t.len;
    return VG_OK;
}

/* ---- decode ---- */

/* Bounds nesting before cJSON sees the text: it recurses. Strings are skipped with their escapes.
 */
static bool depth_within(struct vg_span json, int max)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < json.len; i++) {
        char c = json.at[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max) {
                return false;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

static enum vg_err wrong(const char *member, const char *accepted, struct vg_error *err)
{
    return vg_fail(err, VG_E_INVALID, "device entry: \"%s\" is missing or wrong, accepted: %s",
                   member, accepted);
}

/* An integer that a double holds exactly. */
static bool get_integer(const cJSON *object, const char *member, double max, uint64_t *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > max ||
        item->valuedouble != (double)(uint64_t)item->valuedouble) {
        return false;
    }
    *out = (uint64_t)item->valuedouble;
    return true;
}

static bool get_text(const cJSON *object, const char *member, char *to, size_t size)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);
    return cJSON_IsString(item) && vg_str_copy(item->valuestring, to, size);
}

static bool get_hex(const cJSON *object, const char *member, void *to, size_t len)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);
    return cJSON_IsString(item) && vg_unhex(vg_span_str(item->valuestring), to, len);
}

static enum vg_err get_credential(const cJSON *root, struct vg_credential *out,
                                  struct vg_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "credential");
    uint8_t id[4];

    if (!cJSON_IsObject(item) || !get_text(item, "kid", out->kid, sizeof(out->kid)) ||
        !vg_unhex(vg_span_str(out->kid), id, sizeof(id))) {
        return wrong("credential.kid", "8 hex digits", err);
    }
    if (!get_hex(item, "nonce", out->nonce, sizeof(out->nonce)) ||
        !get_hex(item, "data", out->data, sizeof(out->data)) ||
        !get_hex(item, "tag", out->tag, sizeof(out->tag))) {
        return wrong("credential", "nonce, data and tag of 12, 32 and 16 bytes in hex", err);
    }
    return VG_OK;
}

static enum vg_err get_sensors(const cJSON *root, struct vg_device *out, struct vg_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "sensors");
    const cJSON *item = NULL;

    if (!cJSON_IsArray(list)) {
        return wrong("sensors", "an array of patterns", err);
    }
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item)) {
            return wrong("sensors", "an array of strings", err);
        }
        enum vg_err rc = vg_device_add_pattern(out, vg_span_str(item->valuestring), err);
        if (rc != VG_OK) {
            return rc == VG_E_EXISTS ? VG_E_INVALID : rc;
        }
    }
    return VG_OK;
}

static enum vg_err decode_root(const cJSON *root, struct vg_device *out, struct vg_error *err)
{
    uint64_t v = 0, period = 0;
    char state[16];

    if (!cJSON_IsObject(root) || !get_integer(root, "v", 1e9, &v) || v == 0) {
        return wrong("v", "1", err);
    }
    if (v > 1) {
        return vg_fail(err, VG_E_VERSION,
                       "device entry of schema version %" PRIu64 ", this program knows 1", v);
    }
    if (!get_text(root, "device", out->name, sizeof(out->name))) {
        return wrong("device", "a name", err);
    }
    if (!get_integer(root, "version", (double)VG_DEVICE_VERSION_MAX, &out->version)) {
        return wrong("version", "an integer from 1", err);
    }
    if (!get_text(root, "state", state, sizeof(state)) ||
        (strcmp(state, "active") != 0 && strcmp(state, "revoked") != 0)) {
        return wrong("state", "active, revoked", err);
    }
    out->state = strcmp(state, "active") == 0 ? VG_DEVICE_ACTIVE : VG_DEVICE_REVOKED;
    if (cJSON_HasObjectItem(root, "period_ms") && !get_integer(root, "period_ms", 9e15, &period)) {
        return wrong("period_ms", "an integer", err);
    }
    out->period_ms = (int64_t)period;
    if (cJSON_HasObjectItem(root, "class") &&
        !get_text(root, "class", out->class_name, sizeof(out->class_name))) {
        return wrong("class", "a word of at most 32 characters", err);
    }
    enum vg_err rc = get_credential(root, &out->credential, err);
    if (rc == VG_OK) {
        rc = get_sensors(root, out, err);
    }
    return rc == VG_OK ? check(out, err) : rc;
}

enum vg_err vg_device_decode(struct vg_span json, struct vg_device *out, struct vg_error *err)
{
    if (json.len > VG_DEVICE_JSON_MAX) {
        return vg_fail(err, VG_E_FULL, "device entry of %zu bytes, accepted: at most %d", json.len,
                       VG_DEVICE_JSON_MAX);
    }
    if (!depth_within(json, DEPTH_MAX)) {
        return vg_fail(err, VG_E_FULL, "device entry nests deeper than %d", DEPTH_MAX);
    }
    struct vg_device *device = vg_device_new();
    if (device == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a device entry");
    }
    static pthread_once_t hooks = PTHREAD_ONCE_INIT;
    const char *end = NULL;
    pthread_once(&hooks, take_hooks);
    no_memory = false;
    cJSON *root = cJSON_ParseWithLengthOpts(json.at, json.len, &end, 0);
    enum vg_err rc =
        root == NULL && no_memory ? vg_fail(err, VG_E_NOMEM, "no memory for a device entry")
        : root == NULL ? vg_fail_at(err, VG_E_INVALID, end == NULL ? 0 : (size_t)(end - json.at),
                                    "device entry is not JSON")
                       : decode_root(root, device, err);
    cJSON_Delete(root);
    if (rc == VG_OK) {
        memcpy(out, device, sizeof(*device) + device->pattern_count * sizeof(device->patterns[0]));
    }
    free(device);
    return rc;
}
