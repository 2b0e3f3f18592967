/* For vigia-edge linked with --wrap=getaddrinfo: silent.example has a name server that never
 * answers. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    if (strcmp(host, "silent.example") != 0 || (hints->ai_flags & AI_NUMERICHOST) != 0) {
        return __real_getaddrinfo(host, port, hints, out);
    }
    (void)fprintf(stderr, "look-up of %s\n", host);
    for (;;) {
        (void)pause();
    }
}
