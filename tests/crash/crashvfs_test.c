/* The disk that loses power, on its own: what it may lose and what it must not. */
#include "crashvfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#define SEEDS 400

static void apply(struct crash_model *m, enum crash_kind kind, uint32_t file, uint64_t at,
                  const char *bytes, size_t len)
{
    struct crash_op *op = crash_op_new(kind, file, at, bytes, len);
    crash_model_apply(m, op);
    crash_op_release(op);
}

static const struct crash_file *file_of(const struct crash_image *image, const char *name)
{
    for (size_t i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].name, name) == 0) {
            return &image->files[i];
        }
    }
    return NULL;
}

static void dropping_loses_what_was_not_synced_and_nothing_else(void **state)
{
    (void)state;
    struct crash_model *m = crash_model_new(0);
    struct crash_image image;
    uint32_t f = crash_model_add(m, "a", "old", 3);
    apply(m, CRASH_OP_WRITE, f, 0, "new", 3);
    crash_model_image(m, CRASH_DROP, 1, NULL, &image);
    assert_memory_equal(file_of(&image, "a")->bytes, "old", 3);
    crash_image_done(&image);
    apply(m, CRASH_OP_SYNC, f, 0, NULL, 0);
    apply(m, CRASH_OP_WRITE, f, 3, "er", 2);
    crash_model_image(m, CRASH_DROP, 1, NULL, &image);
    assert_int_equal(file_of(&image, "a")->size, 3);
    assert_memory_equal(file_of(&image, "a")->bytes, "new", 3);
    crash_image_done(&image);
    crash_model_free(m);
}

static void a_name_is_safe_once_its_folder_is_synced(void **state)
{
    (void)state;
    struct crash_model *m = crash_model_new(0);
    struct crash_image image;
    uint32_t f = crash_model_next(m);
    apply(m, CRASH_OP_CREATE, f, 0, "b", 1);
    apply(m, CRASH_OP_WRITE, f, 0, "x", 1);
    apply(m, CRASH_OP_SYNC, f, 0, NULL, 0);
    crash_model_image(m, CRASH_DROP, 1, NULL, &image);
    assert_null(file_of(&image, "b"));
    crash_image_done(&image);
    apply(m, CRASH_OP_SYNC_FOLDER, 0, 0, NULL, 0);
    apply(m, CRASH_OP_DELETE, 0, 0, "b", 1);
    assert_int_equal(crash_model_find(m, "b"), 0);
    crash_model_image(m, CRASH_DROP, 1, NULL, &image);
    assert_memory_equal(file_of(&image, "b")->bytes, "x", 1);
    crash_image_done(&image);
    crash_model_free(m);
}

static void reordering_can_keep_any_of_the_writes_and_keeps_what_is_safe(void **state)
{
    (void)state;
    struct crash_model *m = crash_model_new(0);
    bool seen[8] = {false};
    uint32_t f = crash_model_add(m, "a", "....", 4);
    apply(m, CRASH_OP_WRITE, f, 0, "1", 1);
    apply(m, CRASH_OP_WRITE, f, 1, "2", 1);
    apply(m, CRASH_OP_WRITE, f, 2, "3", 1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct crash_image image;
        crash_model_image(m, CRASH_REORDER, seed, NULL, &image);
        const char *b = file_of(&image, "a")->bytes;
        assert_int_equal(b[3], '.');
        seen[(b[0] == '1') + 2 * (b[1] == '2') + 4 * (b[2] == '3')] = true;
        crash_image_done(&image);
    }
    for (int i = 0; i < 8; i++) {
        assert_true(seen[i]);
    }
    crash_model_free(m);
}

static void a_torn_write_breaks_and_harms_nothing_beside_itself(void **state)
{
    (void)state;
    struct crash_model *m = crash_model_new(0);
    static char old[4096], new[2000];
    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    (void)crash_model_add(m, "a", old, sizeof old);
    struct crash_op *cut = crash_op_new(CRASH_OP_WRITE, 1, 700, new, sizeof new);
    size_t none = 0, part = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct crash_image image;
        crash_model_image(m, CRASH_TEAR, seed, cut, &image);
        const struct crash_file *f = file_of(&image, "a");
        assert_int_equal(f->size, sizeof old);
        assert_memory_equal(f->bytes, old, 700);
        assert_memory_equal(f->bytes + 2700, old, sizeof old - 2700);
        bool all = memcmp(f->bytes + 700, new, sizeof new) == 0;
        bool nothing = memcmp(f->bytes, old, sizeof old) == 0;
        none += nothing;
        part += !all && !nothing;
        crash_image_done(&image);
    }
    assert_true(part > SEEDS / 2);
    assert_true(none > 0);
    crash_op_release(cut);
    crash_model_free(m);
}

static void the_same_seed_gives_the_same_disk(void **state)
{
    (void)state;
    struct crash_model *m = crash_model_new(0);
    static char page[4096];
    uint32_t f = crash_model_add(m, "a", "", 0);
    for (int i = 0; i < 20; i++) {
        memset(page, 'a' + i, sizeof page);
        apply(m, CRASH_OP_WRITE, f, (uint64_t)(i % 7) * 1000, page, sizeof page);
    }
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct crash_image one, two;
        crash_model_image(m, CRASH_TEAR, seed, NULL, &one);
        crash_model_image(m, CRASH_TEAR, seed, NULL, &two);
        assert_int_equal(one.files[0].size, two.files[0].size);
        assert_memory_equal(one.files[0].bytes, two.files[0].bytes, one.files[0].size);
        crash_image_done(&one);
        crash_image_done(&two);
    }
    crash_model_free(m);
}

/* ---- live, under SQLite ---- */

static int64_t count_rows(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int64_t n = -1;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, CRASH_VFS) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW) {
        n = sqlite3_column_int64(st, 0);
    }
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    return n;
}

/* Commits 10 rows, cuts the power, returns how many are there. */
static int64_t rows_after_a_cut(unsigned lies, const char *synchronous, uint64_t seed)
{
    char folder[] = "/tmp/vigia-crashvfs-XXXXXX", path[64], sql[96];
    sqlite3 *db = NULL;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/t.db", folder);
    crash_install(false);
    struct crash_disk *d = crash_disk_new(folder, 0);
    crash_disk_lie(d, lies);
    assert_int_equal(
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, CRASH_VFS),
        SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE t(a)", 0, 0, 0), 0);
    assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", 0, 0, 0), 0);
    (void)snprintf(sql, sizeof sql, "PRAGMA synchronous=%s", synchronous);
    assert_int_equal(sqlite3_exec(db, sql, 0, 0, 0), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(sqlite3_exec(db, "INSERT INTO t VALUES(1)", 0, 0, 0), SQLITE_OK);
    }
    crash_power_off(d);
    assert_true(sqlite3_exec(db, "INSERT INTO t VALUES(1)", 0, 0, 0) != SQLITE_OK);
    (void)sqlite3_close(db);
    assert_true(crash_power_on(d, (enum crash_mode)(seed % CRASH_MODES), seed));
    int64_t n = count_rows(path);
    crash_power_off(d);
    assert_true(crash_power_on(d, CRASH_DROP, 0));
    crash_disk_free(d);
    (void)unlink(path);
    (void)snprintf(sql, sizeof sql, "%s-wal", path);
    (void)unlink(sql);
    (void)rmdir(folder);
    return n;
}

static void sqlite_keeps_what_it_committed_with_full(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 9; seed++) {
        assert_int_equal(rows_after_a_cut(0, "FULL", seed), 10);
    }
}

static void sqlite_loses_rows_with_normal_and_on_a_card_that_lies(void **state)
{
    (void)state;
    assert_true(rows_after_a_cut(0, "NORMAL", 0) < 10);
    assert_true(rows_after_a_cut(CRASH_LIE_WAL, "FULL", 0) < 10);
    assert_true(rows_after_a_cut(CRASH_LIE_ALL, "FULL", 0) < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropping_loses_what_was_not_synced_and_nothing_else),
        cmocka_unit_test(a_name_is_safe_once_its_folder_is_synced),
        cmocka_unit_test(reordering_can_keep_any_of_the_writes_and_keeps_what_is_safe),
        cmocka_unit_test(a_torn_write_breaks_and_harms_nothing_beside_itself),
        cmocka_unit_test(the_same_seed_gives_the_same_disk),
        cmocka_unit_test(sqlite_keeps_what_it_committed_with_full),
        cmocka_unit_test(sqlite_loses_rows_with_normal_and_on_a_card_that_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
