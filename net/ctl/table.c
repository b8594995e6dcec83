/* What lives here: widths and padding. */
#include "net/ctl/table.h"

#include "net/ctl/report.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

static unsigned width_of(const char *utf8)
{
    unsigned width = 0;
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)utf8;
    while (*p) {
        utf8proc_int32_t point;
        utf8proc_ssize_t n = utf8proc_iterate(p, -1, &point);
        width += n > 0 ? (unsigned)utf8proc_charwidth(point) : 1;
        p += n > 0 ? n : 1;
    }
    return width;
}

static void print_row(const struct table *table, const char *cells)
{
    for (unsigned i = 0; i < table->columns; i++) {
        unsigned width = width_of(cells);
        int fill = table->width[i] > width ? (int)(table->width[i] - width) : 0;
        bool last = i + 1 == table->columns;
        if (table->right[i])
            printf("%*s%s%s", fill, "", cells, last ? "" : "  ");
        else
            printf("%s%*s%s", cells, last ? 0 : fill, "", last ? "" : "  ");
        cells += strlen(cells) + 1;
    }
    putchar('\n');
}

static void print_held(struct table *table)
{
    const char *cells = (const char *)table->held.data;
    for (unsigned row = 0; row < table->rows && !table->held.failed; row++) {
        print_row(table, cells);
        for (unsigned i = 0; i < table->columns; i++)
            cells += strlen(cells) + 1;
    }
    table->rows = 0;
    buf_clear(&table->held);
}

void table_row(struct table *table, const char *const *cells)
{
    for (unsigned i = 0; i < table->columns; i++) {
        size_t start = table->held.size;
        text_shown(&table->held, cells[i] ? cells[i] : "");
        buf_byte(&table->held, 0);
        unsigned width = table->held.failed ? 0 : width_of((const char *)table->held.data + start);
        if (!table->flowing && width > table->width[i])
            table->width[i] = width;
    }
    table->rows++;
    if (table->flowing || table->rows > TABLE_HELD) {
        table->flowing = true;
        print_held(table);
    }
}

void table_init(struct table *table, unsigned columns, const char *const *titles, const char *right)
{
    memset(table, 0, sizeof *table);
    buf_init(&table->held);
    table->columns = columns < TABLE_COLUMNS_MAX ? columns : TABLE_COLUMNS_MAX;
    for (unsigned i = 0; right && i < table->columns && right[i]; i++)
        table->right[i] = right[i] == 'r';
    table_row(table, titles);
}

struct error table_end(struct table *table)
{
    struct error err = buf_error(&table->held);
    if (err.code == ERROR_NONE)
        print_held(table);
    buf_release(&table->held);
    return err;
}
