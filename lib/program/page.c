/* The page of metrics and health.
 *
 * libmicrohttpd runs without a thread of its own: its epoll descriptor is watched by our loop, and
 * its next timeout is a timer of ours. Bounds: VGI connections at a time, a few seconds each, one
 * buffer for the text, taken at start. */
#include "internal.h"
#include "vigia/endpoint.h"
#include "vigia/metric.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX  16
#define CONNECTION_S     5
#define CONNECTION_BYTES 16384
#define PAGE_BYTES       65536 /* VG_METRIC_MAX metrics of 400 bytes, help included */
#define BACKLOG          16

struct vgi_page {
    struct vg_loop *loop;
    struct MHD_Daemon *daemon;
    vg_watch_id watch;
    vg_timer_id timer;
    bool (*ready)(void *arg);
    void *arg;
    char text[PAGE_BYTES];
};

static enum MHD_Result answer(struct MHD_Connection *to, unsigned status, const char *text,
                              size_t len, const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result result = MHD_queue_response(to, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *to, unsigned status, const char *text)
{
    return answer(to, status, text, strlen(text), "text/plain; charset=utf-8");
}

static enum MHD_Result answer_metrics(struct vgi_page *page, struct MHD_Connection *to)
{
    FILE *out = fmemopen(page->text, sizeof page->text, "w");
    if (out == NULL) {
        return MHD_NO;
    }
    vg_metric_print(out);
    long len = ftell(out);
    bool whole = fflush(out) == 0 && !ferror(out) && len >= 0 && len < PAGE_BYTES;
    fclose(out);
    if (!whole) {
        return answer_text(to, MHD_HTTP_INTERNAL_SERVER_ERROR, "the page is too long\n");
    }
    return answer(to, MHD_HTTP_OK, page->text, (size_t)len, "text/plain; version=0.0.4");
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *to, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **request)
{
    struct vgi_page *page = arg;
    (void)version;
    (void)upload;
    (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        *upload_size = 0;
        return answer_text(to, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
    }
    if (strcmp(url, "/metrics") == 0) {
        return answer_metrics(page, to);
    }
    if (strcmp(url, "/healthz") == 0) {
        return answer_text(to, MHD_HTTP_OK, "ok\n");
    }
    if (strcmp(url, "/readyz") == 0) {
        return page->ready(page->arg)
                   ? answer_text(to, MHD_HTTP_OK, "ready\n")
                   : answer_text(to, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
    }
    return answer_text(to, MHD_HTTP_NOT_FOUND, "/metrics /healthz /readyz\n");
}

/* libmicrohttpd calls it where it cannot go on, such as when a closed connection stays in its epoll
 * set, and aborts if it returns: what it has is then in disorder, and a descriptor it names may be
 * somebody else's. To go on without the page would hide that from all who ask whether we are well,
 * so the program ends and is started again. Without exit handlers, which would run the library
 * once more: it is the end of a kill, which buffers and logs are made for. */
static void on_panic(void *arg, const char *file, unsigned line, const char *reason)
{
    char text[VG_ERROR_TEXT_MAX];
    (void)arg;
    if (reason == NULL) {
        reason = "no reason given";
    }
    snprintf(text, sizeof text, "libmicrohttpd, %s:%u: %.*s", file == NULL ? "?" : file, line,
             (int)strcspn(reason, "\n"), reason);
    vg_log_error("page-failed", "reason=%s", VG_Q(text));
    _exit(VG_EXIT_FAIL);
}

static void turn(struct vgi_page *page)
{
    (void)MHD_run(page->daemon);
    int64_t ms = MHD_get_timeout64s(page->daemon);
    if (ms < 0) {
        vg_loop_timer_stop(page->loop, page->timer);
    } else {
        vg_loop_timer_in_ms(page->loop, page->timer, ms);
    }
}

static void on_ready(void *arg, unsigned events)
{
    (void)events;
    turn(arg);
}

static void on_timer(void *arg)
{
    turn(arg);
}

static enum vg_err bind_socket(const char *listen_text, int *out, struct vg_error *err)
{
    struct vg_endpoint where;
    enum vg_err code = vg_endpoint_parse(vg_span_str(listen_text), 0, &where, err);
    if (code != VG_OK) {
        return code;
    }
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    snprintf(port, sizeof port, "%u", (unsigned)where.port);
    int status = getaddrinfo(where.host, port, &hints, &found);
    if (status != 0) {
        bool lacks = status == EAI_MEMORY || status == EAI_AGAIN || status == EAI_SYSTEM;
        return vg_fail(err, lacks ? VG_E_IO : VG_E_NOTFOUND,
                       "'%.64s' does not resolve: %s; accepted: host:port or [IPv6 address]:port",
                       where.host, gai_strerror(status));
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    bool bound = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                 bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int error = errno;
    freeaddrinfo(found);
    if (!bound) {
        if (fd >= 0) {
            close(fd);
        }
        return vg_fail(
            err, vg_err_of_errno(error),
            "%.64s cannot be listened on: %s; accepted: an address of this machine and a free TCP "
            "port",
            listen_text, strerror(error));
    }
    *out = fd;
    return VG_OK;
}

static enum vg_err open_daemon(struct vgi_page *page, const char *listen_text, struct vg_error *err)
{
    int fd = -1;
    enum vg_err code = bind_socket(listen_text, &fd, err);
    if (code != VG_OK) {
        return code;
    }
    MHD_set_panic_func(on_panic, NULL); /* for the whole process, which has one page */
    page->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_THREAD_SAFETY, 0, NULL, NULL, handle,
                                    page, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                    (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                    (unsigned)CONNECTION_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                    (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    if (page->daemon == NULL) {
        close(fd);
        return vg_fail(err, VG_E_NOMEM, "the HTTP server cannot be started");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(page->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        return vg_fail(err, VG_E_IO, "the HTTP server has no epoll descriptor");
    }
    code = vg_loop_timer(page->loop, on_timer, page, &page->timer);
    if (code == VG_OK) {
        code =
            vg_loop_watch(page->loop, info->epoll_fd, VG_LOOP_READ, on_ready, page, &page->watch);
    }
    return code == VG_OK ? VG_OK : vg_fail(err, code, "the HTTP server cannot be watched");
}

enum vg_err vgi_page_open(struct vg_loop *loop, const char *listen_text, bool (*ready)(void *arg),
                          void *arg, struct vgi_page **out, struct vg_error *err)
{
    struct vgi_page *page = calloc(1, sizeof *page);
    if (page == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the page of metrics");
    }
    page->loop = loop;
    page->ready = ready;
    page->arg = arg;
    enum vg_err code = open_daemon(page, listen_text, err);
    if (code != VG_OK) {
        vgi_page_close(page);
        return code;
    }
    turn(page);
    *out = page;
    return VG_OK;
}

void vgi_page_close(struct vgi_page *page)
{
    if (page == NULL) {
        return;
    }
    vg_loop_unwatch(page->loop, page->watch);
    vg_loop_timer_remove(page->loop, page->timer);
    if (page->daemon != NULL) {
        MHD_stop_daemon(page->daemon); /* closes the listening socket too */
    }
    free(page);
}
