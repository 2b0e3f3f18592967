/* The registry of metrics and the page that Prometheus reads (text format 0.0.4). */
#include "vigia/metric.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vg_metric *registered[VG_METRIC_MAX];
static size_t registered_count;

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && !(name[0] >= '0' && name[0] <= '9') &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:") == len;
}

static bool is_registered(const struct vg_metric *m)
{
    for (size_t i = 0; i < registered_count; i++) {
        if (registered[i] == m) {
            return true;
        }
    }
    return false;
}

enum vg_err vg_metric_register(struct vg_metric *metrics, size_t count)
{
    enum vg_err result = VG_OK;
    size_t fresh = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++) {
        const struct vg_metric *m = &metrics[i];
        if (!name_is_valid(m->name) || m->help == NULL ||
            (m->labels != NULL && strlen(m->labels) > VG_METRIC_LABELS_MAX)) {
            result = VG_E_INVALID;
        }
        fresh += is_registered(m) ? 0 : 1;
    }
    if (result == VG_OK && fresh > VG_METRIC_MAX - registered_count) {
        result = VG_E_FULL;
    }
    for (size_t i = 0; result == VG_OK && i < count; i++) {
        if (!is_registered(&metrics[i])) {
            registered[registered_count++] = &metrics[i];
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void print_head(FILE *to, const char *name, const char *help, const char *type)
{
    fprintf(to, "# HELP %s ", name);
    for (const char *c = help; *c != '\0'; c++) {
        if (*c == '\n') {
            fputs("\\n", to);
        } else if (*c == '\\') {
            fputs("\\\\", to);
        } else {
            fputc(*c, to);
        }
    }
    fprintf(to, "\n# TYPE %s %s\n", name, type);
}

/* Field `number` (from 1) of a /proc file whose fields are separated by one space; those up to the
 * last ')' count as two: the process's name may hold spaces. 0 where there is none. */
static unsigned long long proc_field(const char *path, int number)
{
    char text[1024];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = '\0';
    const char *at = strrchr(text, ')');
    int field = 2;
    if (at == NULL) {
        at = text;
        field = 1;
    }
    for (; at != NULL && field < number; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

static size_t count_fds(void)
{
    size_t fds = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir != NULL) {
        for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
            fds += e->d_name[0] != '.' ? 1 : 0;
        }
        closedir(dir);
        fds--; /* the one that listed them */
    }
    return fds;
}

static double now_s(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_process(FILE *to)
{
    print_head(to, "process_cpu_seconds_total", "CPU time used by the process.", "counter");
    fprintf(to, "process_cpu_seconds_total %.6f\n", now_s(CLOCK_PROCESS_CPUTIME_ID));

    unsigned long long pages = proc_field("/proc/self/statm", 2);
    print_head(to, "process_resident_memory_bytes", "Memory of the process in RAM.", "gauge");
    fprintf(to, "process_resident_memory_bytes %llu\n",
            pages * (unsigned long long)sysconf(_SC_PAGESIZE));

    print_head(to, "process_open_fds", "Open file descriptors.", "gauge");
    fprintf(to, "process_open_fds %zu\n", count_fds());

    double since_boot = (double)proc_field("/proc/self/stat", 22) / (double)sysconf(_SC_CLK_TCK);
    print_head(to, "process_start_time_seconds", "Start of the process since 1970.", "gauge");
    fprintf(to, "process_start_time_seconds %.2f\n",
            now_s(CLOCK_REALTIME) - now_s(CLOCK_BOOTTIME) + since_boot);
}

void vg_metric_print(FILE *to)
{
    pthread_mutex_lock(&lock);
    const char *last = "";
    for (size_t i = 0; i < registered_count; i++) {
        const struct vg_metric *m = registered[i];
        if (strcmp(last, m->name) != 0) {
            print_head(to, m->name, m->help, m->type == VG_COUNTER ? "counter" : "gauge");
            last = m->name;
        }
        bool labelled = m->labels != NULL && m->labels[0] != '\0';
        fprintf(to, "%s%s%s%s ", m->name, labelled ? "{" : "", labelled ? m->labels : "",
                labelled ? "}" : "");
        int64_t value = vg_metric_get(m);
        if (m->scale == 0 || m->scale == 1) {
            fprintf(to, "%" PRId64 "\n", value);
        } else {
            fprintf(to, "%.15g\n", (double)value * m->scale);
        }
    }
    pthread_mutex_unlock(&lock);
    print_process(to);
}
