#include "base/number.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

/* For the calling thread alone, so that others do not notice. Gives what to put back. */
static locale_t enter(locale_t *plain) {
    *plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    return *plain == (locale_t)0 ? (locale_t)0 : uselocale(*plain);
}

static void leave(locale_t plain, locale_t before) {
    if (plain != (locale_t)0) {
        uselocale(before);
        freelocale(plain);
    }
}

void td_number_write(double value, int digits, char text[TD_NUMBER_TEXT]) {
    locale_t plain, before = enter(&plain);
    snprintf(text, TD_NUMBER_TEXT, "%.*g", digits, value);
    leave(plain, before);
}

bool td_number_read(const char *text, double *value, const char **end) {
    locale_t plain, before = enter(&plain);
    char *behind;
    *value = strtod(text, &behind);
    leave(plain, before);
    *end = behind;
    return behind != text;
}
