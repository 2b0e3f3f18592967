/* Named fault points: built only with VIGIA_FAULTS=ON. The environment is read before main begins, so that a wrong name ends
 * the program before it has done anything. */
#include "vigia/fault.h"

#include "vigia/span.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum action { NONE, KILL, EXIT, STALL, FAIL, ACTIONS };

static const char *const action_names[] = {
    [NONE] = "none", [KILL] = "kill", [EXIT] = "exit", [STALL] = "stall", [FAIL] = "error"};

static const struct {
    const char *name;
    bool fails;
} points[] = {
#define POINT(id, name, fails) {name, fails},
    VG_FAULT_POINTS(POINT)
#undef POINT
};

static struct {
    enum action action;
    enum vg_fault_point point;
    unsigned long long nth;
} armed;
static atomic_ullong hits;

static void list(void)
{
    for (size_t i = 0; i < VG_FAULT_COUNT; i++) {
        printf("%s kill exit stall%s\n", points[i].name, points[i].fails ? " error" : "");
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr, "VIGIA_FAULT=list: standard output: %s\n", strerror(errno));
        exit(1);
    }
    exit(0);
}

static void refuse(const char *text)
{
    fprintf(stderr,
            "VIGIA_FAULT=%s; accepted: list, or NAME:kill|exit|stall|error[:NTH] with a NAME that "
            "list prints\n",
            text);
    exit(2);
}

static bool parse(const char *text)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL) {
        return false;
    }
    struct vg_span name = vg_span(text, (size_t)(colon - text));
    const char *word = colon + 1;
    struct vg_span action = vg_span(word, strcspn(word, ":"));
    const char *nth = word + action.len;
    size_t point = 0;
    while (point < VG_FAULT_COUNT && !vg_span_eq(name, vg_span_str(points[point].name))) {
        point++;
    }
    armed.point = (enum vg_fault_point)point;
    armed.nth = 1;
    for (enum action a = KILL; a < ACTIONS; a++) {
        if (vg_span_eq(action, vg_span_str(action_names[a]))) {
            armed.action = a;
        }
    }
    return point < VG_FAULT_COUNT && armed.action != NONE &&
           (armed.action != FAIL || points[point].fails) &&
           (*nth == '\0' || (vg_span_to_u64(vg_span_str(nth + 1), &armed.nth) && armed.nth > 0));
}

__attribute__((constructor)) static void arm(void)
{
    const char *text = getenv("VIGIA_FAULT");
    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (strcmp(text, "list") == 0) {
        list();
    }
    if (!parse(text)) {
        refuse(text);
    }
}

static void tell(void)
{
    char line[128];
    int len = snprintf(line, sizeof line, "fault point=%s action=%s\n", points[armed.point].name,
                       action_names[armed.action]);
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)len);
    (void)ignored;
}

bool vg_fault(enum vg_fault_point point)
{
    if (armed.action == NONE || armed.point != point ||
        atomic_fetch_add(&hits, 1) + 1 != armed.nth) {
        return false;
    }
    tell();
    switch (armed.action) {
    case KILL:
        (void)raise(SIGKILL);
        break;
    case EXIT:
        _exit(1);
    case STALL:
        for (;;) {
            (void)pause();
        }
    case NONE:
    case FAIL:
    case ACTIONS:
        break;
    }
    return true;
}
