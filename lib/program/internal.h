/* Between the files of this module. */
#ifndef VGI_PROGRAM_INTERNAL_H
#define VGI_PROGRAM_INTERNAL_H

#include "vigia/log.h"
#include "vigia/program.h"

/* The command line as given. */
struct vgi_args {
    const char *config; /* NULL: the default one */
    bool help, version, manual, check_config, dump_config;
    bool no_memory;  /* the line could not be looked at */
    bool standalone; /* an option of the program allows required items to be missing */
    enum vg_log_level level;
    enum vg_log_format format;
    const char **sets;
    size_t set_count;
    struct vgi_given {
        const struct vg_program_option *option;
        const char *value;
    } * given; /* the program's own options, in order */
    size_t given_count;
};

/* False when the line is wrong: it has been told on standard error. Free in both cases. */
bool vgi_args_parse(const struct vg_program *program, int argc, char **argv, struct vgi_args *out);
void vgi_args_free(struct vgi_args *args);
void vgi_print_help(const struct vg_program *program, FILE *to);
void vgi_print_manual(const struct vg_program *program, FILE *to);

/* Loads, applies the program's options, checks. *usage says that an option was at fault. On success
 * the origins are the caller's; an error says its place itself. */
enum vg_err vgi_configure(const struct vg_program *program, const struct vgi_args *args, void *conf,
                          bool *usage, struct vg_conf_origins **origins,
                          struct vg_error *err) VG_NODISCARD;

/* One datagram to the service manager ($NOTIFY_SOCKET); nothing without one. */
void vgi_notify(const char *state);
/* Half of the watchdog's interval in milliseconds, 0 without one ($WATCHDOG_USEC, $WATCHDOG_PID).
 */
int64_t vgi_watchdog_ms(void);

/* The page of metrics and health. */
struct vgi_page;
/* Watches and timers that a page takes from the loop. */
#define VGI_PAGE_WATCHES 1
#define VGI_PAGE_TIMERS  1
enum vg_err vgi_page_open(struct vg_loop *loop, const char *listen, bool (*ready)(void *arg),
                          void *arg, struct vgi_page **out, struct vg_error *err) VG_NODISCARD;
void vgi_page_close(struct vgi_page *page);

#endif
