/* The ledger of the script that runs against the SQLite log. */
#ifndef VIGIA_TEST_CUT_LOG_H
#define VIGIA_TEST_CUT_LOG_H

#include "powercut.h"

#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"

#define CUT_RECORDS_MAX 16384
#define CUT_BATCHES_MAX 4096
#define CUT_KEYS        7
#define CUT_TEXT_MAX    400
#define CUT_PARTS_MAX   3

struct cut_record { /* number n has offset n: one appender, nothing refused */
    size_t given, owed;
};

struct cut_batch { /* what the processor read and committed as one */
    int64_t from, to;
    int parts; /* alarms */
    size_t given, owed;
};

struct cut_log_ledger {
    struct cut_record record[CUT_RECORDS_MAX];
    size_t records;
    struct cut_batch batch[CUT_BATCHES_MAX];
    size_t batches;
    size_t created; /* the topics were confirmed */
    size_t joined;  /* the group was: from here on nothing leaves before it was read */
    size_t commits;
};

void cut_log_conf(const char *folder, struct vg_dlog_conf *out);
/* The texts of record n and of an alarm; the key is that of record n. */
void cut_log_value(size_t n, char *out, size_t size);
void cut_log_key(size_t n, char *out, size_t size);
void cut_log_alarm(size_t batch, int part, int parts, char *out, size_t size);
/* State of a key once everything below offset `to` was applied. */
void cut_log_state(size_t key, int64_t to, char *out, size_t size);
void cut_log_check(const void *ledger, const char *folder, size_t point, struct cut_finding *f);

#endif
