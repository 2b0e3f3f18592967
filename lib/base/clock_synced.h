/* What the kernel's answer about the wall clock means (adjtimex(2)); apart from the call for tests. */
#ifndef VIGIA_CLOCK_SYNCED_H
#define VIGIA_CLOCK_SYNCED_H

#include <stdbool.h>
#include <sys/timex.h>

/* `state` is what adjtimex() returned, `t` what it filled in. */
bool vgi_clock_synced(int state, const struct timex *t);

#endif
