#include "terminal.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------- messages */

/* Signals and the terminal are the program's, not a caller's: the only state outside structs. */
static volatile sig_atomic_t interrupted;
static bool bar_on_line; /* stderr's last line holds a progress bar */

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

void cli_catch_interrupts(void) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool coloured(FILE *out) {
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(fileno(out)) && (no == NULL || *no == '\0') && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

static void clean(char *text) {
    for (; *text != '\0'; text++) {
        *text = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
    }
}

static const char *start_of(cli_style style) {
    static const char *const starts[] = {"", "\x1b[1m", "\x1b[32m", "\x1b[31m"};
    return starts[style];
}

static void print_styled(FILE *out, cli_style style, const char *text) {
    bool colour = style != CLI_PLAIN && coloured(out);
    fprintf(out, "%s%s%s", colour ? start_of(style) : "", text, colour ? "\x1b[0m" : "");
}

void cli_styled(FILE *out, cli_style style, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    clean(text);
    print_styled(out, style, text);
}

static void wipe_bar(void) {
    if (bar_on_line) {
        fprintf(stderr, "\r\x1b[K");
        bar_on_line = false;
    }
}

static void message(cli_style style, const char *kind, const char *format, va_list arguments) {
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    clean(text);
    fflush(stdout); /* what was printed before comes before */
    wipe_bar();
    fprintf(stderr, "tdsnn: ");
    print_styled(stderr, style, kind);
    fprintf(stderr, ": %s\n", text);
}

void cli_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message(CLI_BAD, "error", format, arguments);
    va_end(arguments);
}

void cli_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message(CLI_BOLD, "warning", format, arguments);
    va_end(arguments);
}

/* ------------------------------------------------------------------------------------- progress */

#define BAR_WIDTH 30
#define REDRAW_AFTER 0.1 /* seconds */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool cli_progress_possible(void) {
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

void cli_progress_wipe(void) {
    wipe_bar();
}

/* "45 s", "12 min", "3 h 20 min". */
static cli_text rough_time(double seconds) {
    cli_text text;
    int minutes = (int)fmin(seconds / 60.0 + 0.5, 1e6);
    if (seconds < 99.5) {
        snprintf(text.s, sizeof text.s, "%.0f s", seconds);
    } else if (minutes < 100) {
        snprintf(text.s, sizeof text.s, "%d min", minutes);
    } else {
        snprintf(text.s, sizeof text.s, "%d h %d min", minutes / 60, minutes % 60);
    }
    return text;
}

static void draw_bar(const cli_progress *p, const char *what, double elapsed) {
    uint64_t done = p->done, total = p->total;
    int filled = (int)((double)BAR_WIDTH * (double)done / (double)total);
    fprintf(stderr, "\r%s [", what);
    for (int i = 0; i < BAR_WIDTH; i++) {
        fputc(i < filled ? '#' : '.', stderr);
    }
    fprintf(stderr, "] %s of %s", cli_count(done).s, cli_count(total).s);
    if (done > p->first) {
        double left = elapsed * (double)(total - done) / (double)(done - p->first);
        fprintf(stderr, ", %s left", rough_time(left).s);
    }
    fprintf(stderr, "\x1b[K");
    fflush(stderr);
    bar_on_line = true;
}

int cli_progress_update(void *progress, const char *what, uint64_t done, uint64_t total) {
    cli_progress *p = progress;
    double time = now();
    if (p->total != total || done < p->done || p->started == 0.0) {
        p->total = total; /* another job */
        p->first = done;
        p->started = time;
    }
    p->done = done;
    if (done == total || interrupted) {
        wipe_bar();
    } else if (p->shown && total > 0 && time - p->drawn >= REDRAW_AFTER &&
               time - p->started >= REDRAW_AFTER) {
        p->drawn = time;
        draw_bar(p, what, time - p->started);
    }
    return interrupted;
}

/* -------------------------------------------------------------------------------------- numbers */

cli_text cli_count(uint64_t value) {
    char digits[32];
    cli_text text;
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            text.s[used++] = ',';
        }
        text.s[used++] = digits[i];
    }
    text.s[used] = '\0';
    return text;
}

cli_text cli_mean(double value) {
    if (value >= 1000.0) {
        return cli_count((uint64_t)(value + 0.5));
    }
    cli_text text;
    snprintf(text.s, sizeof text.s, "%.2f", value);
    return text;
}

cli_text cli_percent(double percent) {
    cli_text text = {"-"};
    if (isfinite(percent)) {
        snprintf(text.s, sizeof text.s, "%.2f %%", percent);
    }
    return text;
}

cli_text cli_seconds(double seconds) {
    cli_text text;
    if (seconds < 0.1) {
        snprintf(text.s, sizeof text.s, "%.3f ms", 1e3 * seconds);
    } else {
        snprintf(text.s, sizeof text.s, seconds < 10.0 ? "%.2f s" : "%.1f s", seconds);
    }
    return text;
}

cli_text cli_fraction(double value) {
    cli_text text;
    double under = round(1.0 / value);
    if (under > 1.0 && under < 1e6 && 1.0 / under == value) {
        snprintf(text.s, sizeof text.s, "1/%.0f", under);
    } else {
        snprintf(text.s, sizeof text.s, "%.9g", value);
    }
    return text;
}

const char *cli_base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* --------------------------------------------------------------------------------------- tables */

struct cli_cell {
    cli_style style;
    char *text;
};

static void no_memory(void) {
    cli_error("no memory for a table");
    exit(TDSNN_ERR_RUNTIME);
}

void cli_cell(cli_table *table, cli_style style, const char *format, ...) {
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 64 : 2 * table->capacity;
        struct cli_cell *grown = realloc(table->cells, table->capacity * sizeof *grown);
        if (grown == NULL) {
            no_memory();
        }
        table->cells = grown;
    }
    struct cli_cell *cell = &table->cells[table->count++];
    va_list arguments;
    va_start(arguments, format);
    cell->style = style;
    if (vasprintf(&cell->text, format, arguments) < 0) {
        no_memory();
    }
    va_end(arguments);
    clean(cell->text);
}

void cli_table_start(cli_table *table, const char *align, const char *const *headings) {
    *table = (cli_table){.align = align, .columns = (int)strlen(align)};
    for (int i = 0; headings != NULL && i < table->columns; i++) {
        cli_cell(table, CLI_BOLD, "%s", headings[i]);
    }
}

#define CLI_MOST_COLUMNS 16 /* the widest table of the tool has 11 */

/* Columns that a text takes: bytes that do not continue a character of UTF-8. */
static int width_of(const char *text) {
    int width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

/* The widest cell of each column, in one pass over the table. */
static void measure_columns(const cli_table *table, int *widths) {
    for (size_t i = 0; i < table->count; i++) {
        int width = width_of(table->cells[i].text), *column = &widths[i % (size_t)table->columns];
        *column = width > *column ? width : *column;
    }
}

/* Prints a row up to its last cell with a text. */
static void print_row(const cli_table *table, const int *widths, size_t row, FILE *out) {
    const struct cli_cell *cells = table->cells + row * (size_t)table->columns;
    int end = table->columns;
    while (end > 0 && cells[end - 1].text[0] == '\0') {
        end--;
    }
    for (int i = 0; i < end; i++) {
        int gap = widths[i] - width_of(cells[i].text);
        bool right = table->align[i] == 'r';
        fprintf(out, "%s%*s", i > 0 ? "  " : "", right ? gap : 0, "");
        print_styled(out, cells[i].style, cells[i].text);
        fprintf(out, "%*s", right || i == end - 1 ? 0 : gap, "");
    }
    fprintf(out, "\n");
}

void cli_table_print(cli_table *table, FILE *out) {
    int widths[CLI_MOST_COLUMNS] = {0};
    measure_columns(table, widths);
    for (size_t row = 0; row < table->count / (size_t)table->columns; row++) {
        print_row(table, widths, row, out);
    }
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i].text);
    }
    free(table->cells);
    *table = (cli_table){0};
}
