/* Rows of data: JSON lines for programs, an aligned table for people. */
#include "cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 120

struct cli_rows {
    const struct cli *cli;
    const struct cli_column *columns;
    size_t column_count;
    cJSON *kept; /* array, table form only */
    size_t count;
    bool failed;
};

struct cli_rows *cli_rows_new(const struct cli *cli, const struct cli_column *columns, size_t count)
{
    struct cli_rows *rows = calloc(1, sizeof(*rows));

    if (rows == NULL) {
        return NULL;
    }
    rows->cli = cli;
    rows->columns = columns;
    rows->column_count = count;
    if (!cli->json) {
        rows->kept = cJSON_CreateArray();
        if (rows->kept == NULL) {
            free(rows);
            return NULL;
        }
    }
    return rows;
}

bool cli_rows_add(struct cli_rows *rows, cJSON *row)
{
    if (rows->failed || row == NULL) {
        cJSON_Delete(row);
        rows->failed = true;
        return false;
    }
    if (rows->kept == NULL) {
        char *text = cJSON_PrintUnformatted(row);

        rows->failed = text == NULL || puts(text) == EOF;
        cJSON_free(text);
        cJSON_Delete(row);
        rows->count++;
        return !rows->failed;
    }
    if (rows->count == CLI_ROWS_MAX) {
        cJSON_Delete(row);
        (void)cli_fail(rows->cli, "more than %d rows: use --json, which has no bound",
                       CLI_ROWS_MAX);
        rows->failed = true;
        return false;
    }
    cJSON_AddItemToArray(rows->kept, row);
    rows->count++;
    return true;
}

/* What a person reads in one cell. */
static void cell_text(const cJSON *row, const char *member, char out[CELL_MAX])
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(row, member);

    if (value == NULL || cJSON_IsNull(value)) {
        (void)snprintf(out, CELL_MAX, "-");
    } else if (cJSON_IsString(value)) {
        (void)snprintf(out, CELL_MAX, "%s", value->valuestring);
    } else if (cJSON_IsBool(value)) {
        (void)snprintf(out, CELL_MAX, "%s", cJSON_IsTrue(value) ? "yes" : "no");
    } else if (cJSON_IsNumber(value)) {
        (void)snprintf(out, CELL_MAX, "%.15g", value->valuedouble);
    } else if (cJSON_IsArray(value)) {
        const cJSON *item;
        size_t used = 0;

        out[0] = '\0';
        cJSON_ArrayForEach(item, value)
        {
            if (cJSON_IsString(item) && used < CELL_MAX) {
                used += (size_t)snprintf(out + used, CELL_MAX - used, "%s%s", used == 0 ? "" : " ",
                                         item->valuestring);
            }
        }
    } else {
        (void)snprintf(out, CELL_MAX, "…");
    }
}

static void print_table(const struct cli_rows *rows)
{
    size_t width[CLI_COLUMNS_MAX] = {0};
    char cell[CELL_MAX];
    const cJSON *row;

    for (size_t i = 0; i < rows->column_count; i++) {
        width[i] = strlen(rows->columns[i].heading);
        cJSON_ArrayForEach(row, rows->kept)
        {
            cell_text(row, rows->columns[i].member, cell);
            width[i] = strlen(cell) > width[i] ? strlen(cell) : width[i];
        }
    }
    for (size_t i = 0; i < rows->column_count; i++) {
        (void)printf("%s%-*s", i == 0 ? "" : "  ", i + 1 < rows->column_count ? (int)width[i] : 0,
                     rows->columns[i].heading);
    }
    (void)putchar('\n');
    cJSON_ArrayForEach(row, rows->kept)
    {
        for (size_t i = 0; i < rows->column_count; i++) {
            cell_text(row, rows->columns[i].member, cell);
            (void)printf("%s%-*s", i == 0 ? "" : "  ",
                         i + 1 < rows->column_count ? (int)width[i] : 0, cell);
        }
        (void)putchar('\n');
    }
}

int cli_rows_end(struct cli_rows *rows, const char *none)
{
    int exit_code;

    if (rows == NULL) {
        (void)fprintf(stderr, "vigia: no memory\n");
        return VG_EXIT_FAIL;
    }
    if (!rows->failed && rows->kept != NULL) {
        if (rows->count == 0) {
            (void)fprintf(stderr, "%s\n", none);
        } else {
            print_table(rows);
        }
    }
    exit_code = rows->failed ? VG_EXIT_FAIL : VG_EXIT_OK;
    cJSON_Delete(rows->kept);
    free(rows);
    return exit_code;
}
