/* The smallest TAP producer that is comfortable: one line of output a check, a plan at the end. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int tap_run, tap_failed;

/* One check; on failure the place is printed. */
#define ok(condition, ...) tap_ok((condition), __FILE__, __LINE__, __VA_ARGS__)

static inline bool __attribute__((format(printf, 4, 5)))
tap_ok(bool passed, const char *file, int line, const char *format, ...) {
    va_list arguments;
    tap_run++;
    tap_failed += !passed;
    printf("%sok %d - ", passed ? "" : "not ", tap_run);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    if (!passed) {
        printf("# failed at %s:%d\n", file, line);
    }
    fflush(stdout);
    return passed;
}

/* Ends the program as skipped as a whole, with the reason: for data that is not there. */
static inline void tap_skip_all(const char *reason) {
    printf("1..0 # SKIP %s\n", reason);
    exit(0);
}

/* Ends main: `return tap_end();` */
static inline int tap_end(void) {
    printf("1..%d\n", tap_run);
    return tap_failed != 0;
}

#endif
