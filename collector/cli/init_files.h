/* The configuration files that `vigia init` writes. */
#ifndef VIGIA_CLI_INIT_FILES_H
#define VIGIA_CLI_INIT_FILES_H

#include "cli.h"

/* One file: its name inside the folder and a printf-free text with @NAME@ marks. */
struct cli_init_file {
    const char *name;
    const char *text;
};
extern const struct cli_init_file cli_init_files[];
extern const size_t cli_init_file_count;

/* Writes `text` to `to`, each @LISTEN@ replaced; false when a mark is not known. */
bool cli_init_fill(const char *text, const char *listen, char *to, size_t size);

#endif
