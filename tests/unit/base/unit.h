/* What the unit tests of this folder share: cmocka with what it needs, and files in a folder of
 * their own. */
#ifndef VGT_UNIT_H
#define VGT_UNIT_H

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char vgt_folder[64];

/* Group set-up: makes a folder and makes it the working directory. */
static inline int vgt_folder_make(void **state)
{
    (void)state;
    snprintf(vgt_folder, sizeof vgt_folder, "/tmp/vigia-unit-XXXXXX");
    return mkdtemp(vgt_folder) == NULL || chdir(vgt_folder) != 0 ? -1 : 0;
}

/* Group tear-down: removes the files that vgt_write made ("a.ini" and the like) and the folder. */
static inline int vgt_folder_remove(void **state)
{
    (void)state;
    static const char *const names[] = {"a.ini", "b.ini", "dump.ini", "secret",
                                        "file",  "err",   NULL};
    for (int i = 0; names[i] != NULL; i++) {
        (void)unlink(names[i]);
    }
    return chdir("/") != 0 || rmdir(vgt_folder) != 0 ? -1 : 0;
}

static inline void vgt_write_bytes(const char *name, const void *bytes, size_t len)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void vgt_write(const char *name, const char *text)
{
    vgt_write_bytes(name, text, strlen(text));
}

#endif
