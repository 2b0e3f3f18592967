#include "fleet.h"

#include <stdlib.h>

enum vg_err vgi_tally_init(struct vgi_tally *t)
{
    *t = (struct vgi_tally){.steps = calloc(VGI_STEPS_MAX, sizeof(uint32_t))};
    return t->steps == NULL ? VG_E_NOMEM : VG_OK;
}

void vgi_tally_done(struct vgi_tally *t)
{
    free(t->steps);
    t->steps = NULL;
}

void vgi_tally_add(struct vgi_tally *t, int64_t us)
{
    int64_t step = us < 0 ? 0 : us / VGI_STEP_US;
    t->steps[step < VGI_STEPS_MAX ? step : VGI_STEPS_MAX - 1]++;
    t->count++;
    t->max_us = us > t->max_us ? us : t->max_us;
}

double vgi_tally_quantile_ms(const struct vgi_tally *t, double part)
{
    if (t->count == 0) {
        return 0;
    }
    uint64_t rank = (uint64_t)(part * (double)(t->count - 1)) + 1, seen = 0;
    size_t i = 0;
    while (i < VGI_STEPS_MAX && seen + t->steps[i] < rank) {
        seen += t->steps[i++];
    }
    return (double)(i + 1) * VGI_STEP_US / 1000.0;
}
