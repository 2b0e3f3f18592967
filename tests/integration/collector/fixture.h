/* Shared by the files of collector_fixture. */
#ifndef COLLECTOR_FIXTURE_H
#define COLLECTOR_FIXTURE_H

/* HOST PORT IDENTITY KEYHEX cid|plain LOCALPORT; commands from standard input. The exit code. */
int run_client(int argc, char **argv);

#endif
