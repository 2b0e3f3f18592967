/* The sd_notify(3) protocol: a datagram to the socket that the service manager names. Best effort
 * by design: a program must run the same without a manager. */
#include "internal.h"
#include "vigia/span.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void vgi_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        !vg_str_copy(path, to.sun_path, sizeof to.sun_path)) {
        return;
    }
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') {
        to.sun_path[0] = '\0'; /* the abstract namespace */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, len);
    close(fd);
}

static bool number_from(const char *name, unsigned long long *out)
{
    return vg_span_to_u64(vg_span_str(getenv(name)), out);
}

int64_t vgi_watchdog_ms(void)
{
    unsigned long long usec, pid;
    if (!number_from("WATCHDOG_USEC", &usec) || usec > INT64_MAX) {
        return 0;
    }
    if (number_from("WATCHDOG_PID", &pid) && pid != (unsigned long long)getpid()) {
        return 0;
    }
    int64_t half = (int64_t)(usec / 2000);
    return half > 0 ? half : 1;
}
