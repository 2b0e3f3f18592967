/* vigia init: the one command that makes topics, the key file and a site's configuration. What
 * exists is kept. */
#include "init_files.h"

#include "vigia/dlog_admin.h"
#include "vigia/endpoint.h"
#include "vigia/file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_TEXT_MAX  4096
#define DEFAULT_LISTEN "0.0.0.0:5684"

struct site {
    struct cli *cli;
    char folder[PATH_MAX];
    bool new_folder;
    size_t made, kept;
};

static bool site_path(struct site *site, const char *name, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s", site->folder, name);

    return n > 0 && n < PATH_MAX;
}

static int open_site(struct site *site)
{
    const char *dir = cli_option(site->cli, "dir", ".");

    site->new_folder = mkdir(dir, 0700) == 0;
    if (!site->new_folder && errno != EEXIST) {
        return cli_fail(site->cli, "%s: cannot be made: %s", dir, strerror(errno));
    }
    if (realpath(dir, site->folder) == NULL) {
        return cli_fail(site->cli, "%s: %s", dir, strerror(errno));
    }
    return VG_EXIT_OK;
}

/* Writes a file that is not there yet. */
static int put_file(struct site *site, const char *name, const char *text)
{
    char path[PATH_MAX];
    struct vg_error err = {0};
    enum vg_err code;

    if (!site_path(site, name, path)) {
        return cli_fail(site->cli, "%s: the path is too long", name);
    }
    if (access(path, F_OK) == 0) {
        site->kept++;
        return VG_EXIT_OK;
    }
    code = vg_file_write_atomic(path, text, strlen(text), &err);
    if (code != VG_OK) {
        return cli_fail_err(site->cli, code, &err);
    }
    site->made++;
    return VG_EXIT_OK;
}

/* Overrides of the [log] section by options, so that they are in force for the topics made now and
 * written to log.ini. */
static int take_numbers(struct cli *cli)
{
    const struct {
        const char *name;
        int64_t *to;
        int64_t max;
    } numbers[] = {{"partitions", &cli->conf.log.partitions, VG_DLOG_PARTITIONS_MAX},
                   {"replication", &cli->conf.log.replication, 15}};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const char *text = cli_option(cli, numbers[i].name, NULL);
        long long value = 0;

        if (text == NULL) {
            continue;
        }
        if (!vg_span_to_i64(vg_span_str(text), &value) || value < 1 || value > numbers[i].max) {
            (void)cli_fail(cli, "--%s '%s': accepted is 1 to %lld", numbers[i].name, text,
                           (long long)numbers[i].max);
            return VG_EXIT_USAGE;
        }
        *numbers[i].to = value;
    }
    if (cli->conf.log.min_insync > cli->conf.log.replication) {
        cli->conf.log.min_insync = cli->conf.log.replication;
    }
    return VG_EXIT_OK;
}

/* The log of this site: what --log, --set or the environment says, else a file in the folder. */
static int choose_log(struct site *site)
{
    struct cli *cli = site->cli;
    char path[PATH_MAX];

    if (cli->log_url == NULL && strcmp(cli->conf.log.url, "sqlite:/var/lib/vigia/log.db") == 0) {
        if (!site_path(site, "log.db", path) ||
            snprintf(cli->conf.log.url, sizeof(cli->conf.log.url), "sqlite:%s", path) >=
                (int)sizeof(cli->conf.log.url)) {
            return cli_fail(cli, "%s: the path is too long for [log] url", site->folder);
        }
    }
    return take_numbers(cli);
}

/* A log.ini that is there is kept, and every program goes by it: topics of Kafka that differ from
 * it would be refused by all of them, and partitions are fixed for ever. */
static int check_kept_log(struct site *site, const char *path)
{
    struct cli *cli = site->cli;
    const struct vg_conf_sources from = {.file = path, .allow_missing = true};
    const struct vg_dlog_conf *ours = &cli->conf.log;
    struct cli_conf kept = {0};
    struct vg_conf_origins *origins = NULL;
    struct vg_error err = {0};
    char place[VG_CONF_PLACE_MAX];
    enum vg_err code = vg_conf_load_traced(&cli_conf_table, &from, &kept, &origins, &err);
    int exit_code = code == VG_OK ? VG_EXIT_OK : cli_fail_err(cli, code, &err);
    const struct {
        const char *key;
        int64_t kept, ours;
    } numbers[] = {{"log.partitions", kept.log.partitions, ours->partitions},
                   {"log.replication", kept.log.replication, ours->replication},
                   {"log.min_insync", kept.log.min_insync, ours->min_insync}};
    bool same = code == VG_OK && strcmp(kept.log.url, ours->url) == 0 &&
                strcmp(kept.log.prefix, ours->prefix) == 0;

    for (size_t i = 0; same && exit_code == VG_EXIT_OK && i < sizeof(numbers) / sizeof(numbers[0]);
         i++) {
        if (numbers[i].kept != numbers[i].ours) {
            (void)vg_conf_where(origins, numbers[i].key, place);
            (void)cli_fail(cli,
                           "%s: %s: %lld, the topics would have %lld: no program would take them; "
                           "nothing was made",
                           place, numbers[i].key, (long long)numbers[i].kept,
                           (long long)numbers[i].ours);
            exit_code = VG_EXIT_CONFIG;
        }
    }
    vg_conf_origins_free(origins);
    return exit_code;
}

static int check_kept(struct site *site)
{
    char path[PATH_MAX];

    if (strncmp(site->cli->conf.log.url, "kafka:", 6) != 0) {
        return VG_EXIT_OK;
    }
    if (!site_path(site, "log.ini", path)) {
        return cli_fail(site->cli, "log.ini: the path is too long");
    }
    return access(path, F_OK) == 0 ? check_kept_log(site, path) : VG_EXIT_OK;
}

static int write_log_ini(struct site *site)
{
    const struct vg_dlog_conf *log = &site->cli->conf.log;
    char text[FILE_TEXT_MAX];
    int n =
        snprintf(text, sizeof(text),
                 "; The log of this site: every program of the collector side includes this file.\n"
                 "; From one file to a cluster: url = kafka:broker1:9092,broker2:9092, then vigia "
                 "init once more.\n"
                 "[log]\nurl = %s\nprefix = %s\n",
                 log->url, log->prefix);

    if (strncmp(log->url, "kafka:", 6) == 0 && n > 0 && (size_t)n < sizeof(text)) {
        n += snprintf(
            text + n, sizeof(text) - (size_t)n,
            "partitions = %lld\nreplication = %lld\nmin_insync = %lld\n%s%s%s%s%s%s%s%s%s",
            (long long)log->partitions, (long long)log->replication, (long long)log->min_insync,
            log->ca_file[0] == '\0' ? "" : "ca_file = ", log->ca_file,
            log->ca_file[0] == '\0' ? "" : "\n",
            log->cert_file[0] == '\0' ? "" : "cert_file = ", log->cert_file,
            log->cert_file[0] == '\0' ? "" : "\n",
            log->key_file[0] == '\0' ? "" : "key_file = ", log->key_file,
            log->key_file[0] == '\0' ? "" : "\n");
    }
    if (n < 0 || (size_t)n >= sizeof(text)) {
        return cli_fail(site->cli, "log.ini would be longer than %d bytes", FILE_TEXT_MAX);
    }
    return put_file(site, "log.ini", text);
}

static int make_key(struct site *site)
{
    char path[PATH_MAX];
    struct vg_error err = {0};
    enum vg_err code;

    if (!site_path(site, "vigia.key", path)) {
        return cli_fail(site->cli, "vigia.key: the path is too long");
    }
    code = vg_keys_create_file(path, &err);
    if (code == VG_E_EXISTS) {
        struct vg_keys_conf conf = {0};
        struct vg_keys *keys = NULL;

        site->kept++;
        (void)vg_str_copy(path, conf.kek_file, sizeof(conf.kek_file));
        code = vg_keys_open(&conf, &keys, &err);
        vg_keys_close(keys);
    } else if (code == VG_OK) {
        site->made++;
    }
    return code == VG_OK ? VG_EXIT_OK : cli_fail_err(site->cli, code, &err);
}

static int make_topics(struct site *site)
{
    struct cli *cli = site->cli;
    struct vg_error err = {0};
    unsigned created = 0;
    enum vg_err code = vg_dlog_open(&cli->conf.log, "vigia", VG_DLOG_MAY_CREATE, &cli->log, &err);

    if (code == VG_OK) {
        code = vg_dlog_create(cli->log, VG_TOPICS_ALL, &created, &err);
    }
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    (void)fprintf(stderr, "vigia: %s has all %d topics, %d of them new\n", cli->conf.log.url,
                  VG_TOPIC_COUNT, __builtin_popcount(created));
    return VG_EXIT_OK;
}

int cli_init(struct cli *cli)
{
    struct site site = {.cli = cli};
    const char *listen = cli_option(cli, "listen", DEFAULT_LISTEN);
    struct vg_endpoint endpoint;
    struct vg_error err = {0};
    int exit_code;

    if (vg_endpoint_parse(vg_span_str(listen), 0, &endpoint, &err) != VG_OK) {
        (void)cli_fail(cli, "--listen: %s", err.text);
        return VG_EXIT_USAGE;
    }
    exit_code = open_site(&site);
    if (exit_code == VG_EXIT_OK) {
        exit_code = choose_log(&site);
    }
    if (exit_code == VG_EXIT_OK) {
        exit_code = check_kept(&site);
    }
    if (exit_code == VG_EXIT_OK) {
        exit_code = make_topics(&site);
    }
    if (exit_code == VG_EXIT_OK) {
        exit_code = make_key(&site);
    }
    if (exit_code == VG_EXIT_OK) {
        exit_code = write_log_ini(&site);
    }
    if (exit_code != VG_EXIT_OK && site.new_folder) {
        (void)rmdir(site.folder); /* as it was, unless something in it was made */
    }
    for (size_t i = 0; exit_code == VG_EXIT_OK && i < cli_init_file_count; i++) {
        char text[FILE_TEXT_MAX];

        if (!cli_init_fill(cli_init_files[i].text, listen, text, sizeof(text))) {
            return cli_fail(cli, "%s would be longer than %d bytes", cli_init_files[i].name,
                            FILE_TEXT_MAX);
        }
        exit_code = put_file(&site, cli_init_files[i].name, text);
    }
    if (exit_code == VG_EXIT_OK) {
        (void)fprintf(stderr, "vigia: %s: %zu files made, %zu kept\n", site.folder, site.made,
                      site.kept);
    }
    return exit_code;
}
