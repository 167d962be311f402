#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <string.h>

#include "tap.h"

static bool writes(double value, int digits, const char *expected) {
    char text[TD_NUMBER_TEXT];
    td_number_write(value, digits, text);
    return strcmp(text, expected) == 0;
}

static bool reads(const char *text, double expected, size_t length) {
    const char *end;
    double value;
    return td_number_read(text, &value, &end) && value == expected && end == text + length;
}

static void check(const char *where) {
    ok(writes(0.5, 9, "0.5") && writes(1.0 / 255.0, 17, "0.0039215686274509803") &&
           writes(-1e-300, 9, "-1e-300") && writes(3.0, 9, "3"),
       "%s: numbers are written with a point", where);
    const char *end;
    double value;
    ok(reads("0.485,0.456", 0.485, 5) && reads("-2e3", -2000.0, 4) && reads("7x", 7.0, 1) &&
           !td_number_read("x", &value, &end) && !td_number_read("", &value, &end),
       "%s: and read", where);
}

int main(void) {
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ru_RU.UTF-8"};
    check("no locale");
    const char *set = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && set == NULL; i++) {
        set = setlocale(LC_ALL, names[i]);
    }
    if (set != NULL) {
        char text[16];
        snprintf(text, sizeof text, "%.1f", 0.5);
        ok(strcmp(text, "0,5") == 0, "%s has a comma", set);
        check(set);
        snprintf(text, sizeof text, "%.1f", 0.5);
        ok(strcmp(text, "0,5") == 0, "and keeps it");
    } else {
        ok(true, "a locale with a comma # SKIP this system has none");
    }
    return tap_end();
}
