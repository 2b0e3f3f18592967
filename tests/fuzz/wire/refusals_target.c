/* Any bytes as the refusal list of an answer, and as the Uri-Query options of a request: what is read is within its limits, and
 * written again it reads the same. */
#include "body.h"

#define QUERIES 4

static void refusals(struct vg_span body)
{
    struct vg_refusal list[VG_BATCH_READINGS_MAX + 1] = {0}, again[VG_BATCH_READINGS_MAX];
    char made[VG_REFUSALS_BYTES_MAX];
    size_t count = 0, count_again = 0, len = 0;

    list[VG_BATCH_READINGS_MAX].index = 0x5a5a; /* the one behind the end stays */
    if (vg_refusals_decode(body, list, VG_BATCH_READINGS_MAX, &count) == VG_OK) {
        require(count <= VG_BATCH_READINGS_MAX);
        if (vg_refusals_encode(list, count, made, sizeof(made), &len) == VG_OK) {
            require(len <= sizeof(made));
            require(vg_refusals_decode(vg_span(made, len), again, VG_BATCH_READINGS_MAX,
                                       &count_again) == VG_OK &&
                    count_again == count);
            for (size_t i = 0; i < count; i++) {
                require(list[i].index == again[i].index && list[i].code == again[i].code);
            }
        }
    }
    require(list[VG_BATCH_READINGS_MAX].index == 0x5a5a);
}

/* Options are separated by '&' here. */
static void identity(struct vg_span text)
{
    struct vg_identity id, again;
    struct vg_span queries[QUERIES], made[3];
    char options[3][VG_QUERY_MAX];
    size_t count = 0;
    struct vg_error err = {0};

    while (count < QUERIES && text.len > 0) {
        const char *end = memchr(text.at, '&', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.at);
        queries[count++] = vg_span(text.at, len);
        len += end != NULL;
        text = vg_span(text.at + len, text.len - len);
    }
    if (vg_identity_parse(queries, count, 3, &id, &err) != VG_OK) {
        require(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
        return;
    }
    if (id.lane == VG_LANE_NONE) {
        return;
    }
    require(id.lane == VG_LANE_URGENT || id.lane == VG_LANE_ROUTINE);
    require(id.seq + 2 <= VG_SEQ_MAX);
    vg_identity_format(&id, options);
    for (size_t i = 0; i < 3; i++) {
        made[i] = vg_span_str(options[i]);
    }
    require(vg_identity_parse(made, 3, 3, &again, &err) == VG_OK);
    require(again.store == id.store && again.seq == id.seq && again.lane == id.lane);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    refusals(vg_span(data, size));
    identity(vg_span(data, size));
    return 0;
}
