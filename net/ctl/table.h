/* Layer: net/ctl. Columns of text on standard output, aligned by what a terminal shows.
 *
 * The first TABLE_HELD rows are held back to learn the widths; later ones are printed as they come, wider cells push
 * the rest of their line. The last column is never padded. Cells pass text_shown(). One thread.
 */
#ifndef NET_CTL_TABLE_H
#define NET_CTL_TABLE_H

#include "codecs/base/buf.h"

#define TABLE_COLUMNS_MAX 128
#define TABLE_HELD 200

struct table {
    unsigned columns;
    unsigned width[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX]; /* numbers */
    struct buf held;               /* cells with a NUL each, rows after one another */
    unsigned rows;                 /* held */
    bool flowing;
};

/* `right`: letters 'r' and 'l' a column; NULL: all left. */
void table_init(struct table *table, unsigned columns, const char *const *titles, const char *right);
void table_row(struct table *table, const char *const *cells);
/* Prints what is held, frees. */
struct error table_end(struct table *table);

#endif
