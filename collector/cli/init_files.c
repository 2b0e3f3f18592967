/* Templates of a site's files: short, with the keys that people change; --dump-config of each
 * program prints all of them. */
#include "init_files.h"

#include <string.h>

const struct cli_init_file cli_init_files[] = {
    {"collector.ini", "; vigia-collector. All keys: vigia-collector --dump-config\n"
                      "include = log.ini\n\n"
                      "[collector]\ninstance = collector-1\nlisten = @LISTEN@\n\n"
                      "[keys]\nkek_file = vigia.key\n\n"
                      "[metrics]\nlisten = 127.0.0.1:9101\n"},
    {"alarm.ini", "; vigia-alarm. All keys: vigia-alarm --dump-config\n"
                  "include = log.ini\n\n"
                  "[processor]\ninstance = alarm-1\n\n"
                  "[rules]\nstrikes = 3\nwindow = 10m\n\n"
                  "[metrics]\nlisten = 127.0.0.1:9102\n"},
    {"vigia.ini", "; vigia, the command line. All keys: man vigia\n"
                  "include = log.ini\n\n"
                  "[keys]\nkek_file = vigia.key\n"},
    {"edge.ini",
     "; vigia-edge. All keys: vigia-edge --dump-config\n"
     "; Name, key and collectors come from the file that `vigia device add` writes:\n"
     ";[device]\n;provisioning = NAME.provision.ini\n\n"
     "; Where readings come from; emulated sensors play a scenario (docs/scenario.md):\n"
     ";[source sensors]\n;kind = sim\n;scenario = house.story\n\n"
     "[buffer]\npath = buffer.db\n\n"
     "[metrics]\nlisten = 127.0.0.1:9103\n"},
};
const size_t cli_init_file_count = sizeof(cli_init_files) / sizeof(cli_init_files[0]);

bool cli_init_fill(const char *text, const char *listen, char *to, size_t size)
{
    static const char mark[] = "@LISTEN@";
    const char *at = strstr(text, mark);
    int n;

    if (at == NULL) {
        n = snprintf(to, size, "%s", text);
    } else {
        n = snprintf(to, size, "%.*s%s%s", (int)(at - text), text, listen, at + strlen(mark));
    }
    return n >= 0 && (size_t)n < size;
}
