/* What the user sees: messages, progress, numbers, tables. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <tdsnn/context.h>

/* Messages on stderr, a line each: "tdsnn: error: ...", "tdsnn: warning: ...". A progress bar on
 * the line is wiped away first. Control characters, which names from files may hold, become '?'. */
void cli_error(const char *format, ...) TDSNN_PRINTF(1, 2);
void cli_warning(const char *format, ...) TDSNN_PRINTF(1, 2);

/* The first Ctrl-C, or a request to end, asks the call under way to stop; the second ends the
 * program at once. */
void cli_catch_interrupts(void);

/* Where a progress bar is drawn, at most ten times a second; all zero at the start. */
typedef struct cli_progress {
    bool shown; /* whether to draw: false for --quiet, and where stderr is no terminal */
    uint64_t first, done, total; /* of the job under way; `first` was done when it was first told */
    double started, drawn;       /* seconds */
} cli_progress;
bool cli_progress_possible(void);
/* Leaves the line to what is printed next. */
void cli_progress_wipe(void);
/* For tdsnn_set_progress, with a cli_progress; non-zero after an interrupt. */
int cli_progress_update(void *progress, const char *what, uint64_t done, uint64_t total);

/* A number as text; lives to the end of the expression. */
typedef struct cli_text {
    char s[48];
} cli_text;
cli_text cli_count(uint64_t value);   /* 1,234,567 */
cli_text cli_mean(double value);      /* 1,234,567 or 123.45: at least three digits */
cli_text cli_percent(double percent); /* 12.34 % */
cli_text cli_seconds(double seconds); /* 12.3 s, 1.234 ms */
cli_text cli_fraction(double value);  /* 1/255, or 0.5 */

/* The part of a path behind the last slash. */
const char *cli_base_name(const char *path);

typedef enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_GOOD, CLI_BAD } cli_style;

/* Prints in a colour, if `out` is a terminal and NO_COLOR is not set. */
void cli_styled(FILE *out, cli_style style, const char *format, ...) TDSNN_PRINTF(3, 4);

/* Rows of cells. `align` has a letter a column: 'l' or 'r'. */
typedef struct cli_table {
    const char *align;
    int columns;
    size_t count, capacity; /* cells, headings included */
    struct cli_cell *cells;
} cli_table;
/* headings: one a column, or NULL. */
void cli_table_start(cli_table *table, const char *align, const char *const *headings);
/* The next cell, left to right; a new row starts by itself. */
void cli_cell(cli_table *table, cli_style style, const char *format, ...) TDSNN_PRINTF(3, 4);
/* Frees the cells. */
void cli_table_print(cli_table *table, FILE *out);

#endif
