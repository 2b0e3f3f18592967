/* udp_echo ROUNDS [BYTES]: one raw UDP datagram there and back over the loopback, again and again; both
 * sides in this thread. Prints "cpu_us wall_us" per round.
 *
 * What a measurement of this machine is calibrated with: four system calls and two deliveries, no
 * protocol, no waiting for another process. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int bound(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) != 0 ||
        getsockname(fd, (struct sockaddr *)at, &len) != 0) {
        perror("udp_echo");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    static char data[1500];
    struct sockaddr_in a, b;
    const unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    const unsigned long bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 130;
    if (argc < 2 || argc > 3 || rounds == 0 || bytes == 0 || bytes > sizeof(data)) {
        fprintf(stderr, "usage: udp_echo ROUNDS [BYTES]\n");
        return 2;
    }
    const int client = bound(&a), server = bound(&b);
    const double cpu = now_us(CLOCK_PROCESS_CPUTIME_ID), wall = now_us(CLOCK_MONOTONIC);
    for (unsigned long i = 0; i < rounds; i++) {
        if (sendto(client, data, bytes, 0, (struct sockaddr *)&b, sizeof(b)) < 0 ||
            recv(server, data, sizeof(data), 0) != (ssize_t)bytes ||
            sendto(server, data, bytes, 0, (struct sockaddr *)&a, sizeof(a)) < 0 ||
            recv(client, data, sizeof(data), 0) != (ssize_t)bytes) {
            perror("udp_echo");
            return 1;
        }
    }
    printf("%.4f %.4f\n", (now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)rounds,
           (now_us(CLOCK_MONOTONIC) - wall) / (double)rounds);
    close(client);
    close(server);
    return 0;
}
