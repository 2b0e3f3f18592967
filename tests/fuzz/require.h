/* A property that a fuzz target holds its subject to: broken, it is a finding, with its place. */
#ifndef VIGIA_FUZZ_REQUIRE_H
#define VIGIA_FUZZ_REQUIRE_H

#include <stdio.h>
#include <stdlib.h>

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "property broken: %s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
