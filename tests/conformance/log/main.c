/* log_conformance: runs the suite against the backend that VIGIA_TEST_LOG_URL names (see suite.h).
 */
#include "suite.h"

#include "vigia/log.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    vg_log_init("log_conformance", VG_LOG_WARN, VG_LOG_LOGFMT);
    if (argc == 5 && strcmp(argv[1], "--child") == 0) {
        return child_main(argv[2], argv[3], argv[4]);
    }
    const char *url = getenv("VIGIA_TEST_LOG_URL");
    printf("log: %s\n", url == NULL ? "sqlite, a fresh file per test" : url);
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return run_append_tests() + run_read_tests() + run_process_tests() + run_admin_tests();
}
