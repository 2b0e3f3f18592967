/* Keeps a table of devices in step with the `devices` topic. */
#include "vgi_table.h"

#include "vigia/dlog.h"

#include <cjson/cJSON.h>

static void on_change(void *arg, const struct vg_dlog_record *record)
{
    struct vg_devices *t = arg;
    struct vg_error err;

    if (t->failed != VG_OK) {
        return;
    }
    enum vg_err rc = vg_devices_apply(t, record->key, record->value, &err);
    if (rc == VG_E_VERSION || rc == VG_E_NOMEM) {
        t->failed = rc;
        t->failure = err;
    } else if (rc != VG_OK) {
        t->refusal = err;
    }
}

enum vg_err vg_devices_follow(struct vg_devices *t, struct vg_dlog *log, struct vg_error *err)
{
    enum vg_err rc = vg_need_version("cJSON", cJSON_Version(), VG_FLOOR_CJSON, err);
    return rc != VG_OK ? rc : vg_dlog_view_open(log, VG_TOPIC_DEVICES, on_change, t, &t->view, err);
}

int vg_devices_fd(const struct vg_devices *t)
{
    return vg_dlog_view_fd(t->view);
}

enum vg_err vg_devices_dispatch(struct vg_devices *t, struct vg_error *err)
{
    enum vg_err rc = vg_dlog_view_dispatch(t->view, 0, err);
    if (t->failed != VG_OK) {
        *err = t->failure;
        return t->failed;
    }
    return rc;
}

bool vg_devices_caught_up(const struct vg_devices *t)
{
    return t->view != NULL && vg_dlog_view_caught_up(t->view);
}

const char *vg_devices_refusal(const struct vg_devices *t)
{
    return t->refusal.text;
}
