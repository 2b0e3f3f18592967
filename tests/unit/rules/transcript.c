/* Runs transcripts. `rules_transcript FILE...` compares; `rules_transcript --print < lines` tells
 * the events as JSON lines, for the comparison with the second implementation
 * (tests/rules/naive.py), and then the stored states. */
#include "script.h"

#include <stdlib.h>

#define LINE_MAX_BYTES 1024

static int run(FILE *from, const char *name, bool print)
{
    struct script s;
    char line[LINE_MAX_BYTES], copy[LINE_MAX_BYTES];
    int failed = 0;
    script_init(&s);
    s.print = print;
    for (int n = 1; fgets(line, sizeof(line), from) != NULL; n++) {
        (void)vg_str_copy(line, copy, sizeof(copy));
        copy[strcspn(copy, "\n")] = '\0';
        if (!script_line(&s, line)) {
            fprintf(stderr, "%s:%d: %s\n  %s\n", name, n, s.problem, copy);
            failed = 1;
            break;
        }
    }
    for (size_t i = 0; print && i < s.stored_count; i++) {
        puts(s.stored[i].json);
    }
    if (failed == 0 && !script_quiet(&s)) {
        fprintf(stderr, "%s: at the end: %s\n", name, s.problem);
        failed = 1;
    }
    script_done(&s);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        return run(stdin, "stdin", true);
    }
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "r");
        if (f == NULL) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        int one = run(f, argv[i], false);
        printf("%s %s\n", one == 0 ? "ok  " : "FAIL", argv[i]);
        failed += one;
        fclose(f);
    }
    if (argc < 2) {
        fprintf(stderr, "rules_transcript FILE... | --print\n");
        return 2;
    }
    return failed == 0 ? 0 : 1;
}
