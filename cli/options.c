#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "terminal.h"

/* ---------------------------------------------------------------------------------- suggestions */

#define LONGEST_NAME 31

/* How many letters must be put in, taken out, changed or swapped with their neighbour. */
static size_t distance(const char *a, const char *b) {
    size_t rows[3][LONGEST_NAME + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    size_t m = strlen(a), n = strlen(b);
    if (m > LONGEST_NAME || n > LONGEST_NAME) {
        return LONGEST_NAME;
    }
    for (size_t j = 0; j <= n; j++) {
        last[j] = before[j] = j;
    }
    for (size_t i = 1; i <= m; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = before[j - 2] + 1 < best ? before[j - 2] + 1 : best;
            }
            row[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[n];
}

const char *cli_nearest(const char *word, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t length = strlen(word), best = length < 4 ? 2 : 3; /* this far is too far */
    for (size_t i = 0; i < count; i++) {
        size_t d =
            length >= 3 && strncmp(names[i], word, length) == 0 ? 0 : distance(word, names[i]);
        if (d < best) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

/* -------------------------------------------------------------------------------------- parsing */

#define MAX_OPTIONS 80

/* An option of the command, and the struct its field is in. */
typedef struct slot {
    const cli_option *option;
    unsigned char *base;
    bool seen;
} slot;

typedef struct parser {
    const cli_syntax *syntax;
    slot slots[MAX_OPTIONS];
    size_t count;
} parser;

static void list_options(parser *p, void *arguments) {
    for (int g = 0; g < CLI_MAX_GROUPS && p->syntax->groups[g].options != NULL; g++) {
        const cli_group *group = &p->syntax->groups[g];
        for (const cli_option *o = group->options; o->kind != CLI_END; o++) {
            p->slots[p->count++] =
                (slot){.option = o, .base = (unsigned char *)arguments + group->offset};
        }
    }
}

static slot *find_long(parser *p, const char *name, size_t length) {
    for (size_t i = 0; i < p->count; i++) {
        const char *own = p->slots[i].option->name;
        if (strlen(own) == length && memcmp(own, name, length) == 0) {
            return &p->slots[i];
        }
    }
    return NULL;
}

static slot *find_letter(parser *p, char letter) {
    for (size_t i = 0; i < p->count; i++) {
        if (p->slots[i].option->letter == letter) {
            return &p->slots[i];
        }
    }
    return NULL;
}

static bool wrong_value(const cli_option *o, const char *text, const char *wanted) {
    cli_error("--%s '%s': give %s", o->name, text, wanted);
    return false;
}

static bool parse_whole(const char *text, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0;
}

/* A decimal that ends at `stop`. */
static bool parse_real(const char *text, char stop, const char **end, double *value) {
    char *behind;
    if (!isdigit((unsigned char)*text) && *text != '-' && *text != '.' && *text != '+') {
        return false;
    }
    *value = strtod(text, &behind);
    *end = behind;
    return behind != text && *behind == stop && isfinite(*value);
}

bool cli_read_real(const char *text, double *value) {
    const char *end;
    return parse_real(text, '\0', &end, value);
}

static bool parse_scale(const char *text, double *value) {
    const char *end;
    double over, under;
    if (parse_real(text, '\0', &end, value)) {
        return *value > 0.0;
    }
    if (!parse_real(text, '/', &end, &over) || !parse_real(end + 1, '\0', &end, &under)) {
        return false;
    }
    *value = over / under;
    return isfinite(*value) && *value > 0.0;
}

static bool set_int(const cli_option *o, const char *text, void *field) {
    uint64_t value;
    if (o->word != NULL && strcmp(text, o->word) == 0) {
        *(int *)field = o->word_value;
        return true;
    }
    if (!parse_whole(text, &value) || (double)value < o->low || (double)value > o->high) {
        char wanted[100];
        snprintf(wanted, sizeof wanted, "a whole number from %.0f to %.0f%s%s", o->low, o->high,
                 o->word != NULL ? ", or " : "", o->word != NULL ? o->word : "");
        return wrong_value(o, text, wanted);
    }
    *(int *)field = (int)value;
    return true;
}

static bool set_real(const cli_option *o, const char *text, double *field) {
    const char *end;
    if (o->word != NULL && strcmp(text, o->word) == 0) {
        *field = o->word_value;
        return true;
    }
    if (!parse_real(text, '\0', &end, field) || *field < o->low || *field > o->high) {
        char wanted[100];
        snprintf(wanted, sizeof wanted, "a number from %g to %g%s%s", o->low, o->high,
                 o->word != NULL ? ", or " : "", o->word != NULL ? o->word : "");
        return wrong_value(o, text, wanted);
    }
    return true;
}

static bool set_list(const cli_option *o, const char *text, cli_list *list) {
    const int most = (int)(sizeof list->values / sizeof list->values[0]);
    const char *next = text;
    list->count = 0;
    for (bool more = true; more && list->count < most; next++) {
        double *value = &list->values[list->count++];
        more = next[strcspn(next, ",")] == ',';
        if (!parse_real(next, more ? ',' : '\0', &next, value) || *value < o->low ||
            *value > o->high) {
            list->count = most + 1;
        } else if (!more) {
            return true;
        }
    }
    char wanted[100];
    snprintf(wanted, sizeof wanted, "1 to %d numbers from %g to %g with commas between", most,
             o->low, o->high);
    return wrong_value(o, text, wanted);
}

static bool set_choice(const cli_option *o, const char *text, int *field) {
    const char *word = o->value;
    for (int index = 0;; index++) {
        size_t length = strcspn(word, "|");
        if (strlen(text) == length && memcmp(text, word, length) == 0) {
            *field = index;
            return true;
        }
        if (word[length] == '\0') {
            return wrong_value(o, text, o->value);
        }
        word += length + 1;
    }
}

static bool set(slot *s, const char *text) {
    const cli_option *o = s->option;
    void *field = s->base + o->offset;
    uint64_t whole;
    s->seen = true;
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return true;
    case CLI_TEXT:
        *(const char **)field = text;
        return *text != '\0' || wrong_value(o, text, o->value);
    case CLI_INT:
        return set_int(o, text, field);
    case CLI_SIZE:
        if (!parse_whole(text, &whole) || whole > SIZE_MAX) {
            return wrong_value(o, text, "a whole number");
        }
        *(size_t *)field = (size_t)whole;
        return true;
    case CLI_SEED:
        if (!parse_whole(text, &whole) || whole > INT64_MAX) {
            return wrong_value(o, text, "a whole number below 2^63");
        }
        *(uint64_t *)field = whole;
        return true;
    case CLI_REAL:
        return set_real(o, text, field);
    case CLI_SCALE:
        return parse_scale(text, field) ||
               wrong_value(o, text, "a number above 0 or a fraction, as 0.5 or 1/255");
    case CLI_LIST:
        return set_list(o, text, field);
    case CLI_CHOICE:
        return set_choice(o, text, field);
    case CLI_END:
        break;
    }
    return false;
}

static bool unknown(const parser *p, const char *word, const char *name, size_t length) {
    const char *names[MAX_OPTIONS];
    char typed[LONGEST_NAME + 1];
    for (size_t i = 0; i < p->count; i++) {
        names[i] = p->slots[i].option->name;
    }
    snprintf(typed, sizeof typed, "%.*s", (int)(length > LONGEST_NAME ? LONGEST_NAME : length),
             name);
    const char *nearest = cli_nearest(typed, names, p->count);
    cli_error("tdsnn %s has no option '%s'%s%s; 'tdsnn %s --help' lists them all", p->syntax->name,
              word, nearest == NULL ? "" : ", but --", nearest == NULL ? "" : nearest,
              p->syntax->name);
    return false;
}

/* Takes the option words[*index], and the next word if that is its value. */
static bool take_option(parser *p, int count, char **words, int *index) {
    const char *word = words[*index], *value = NULL;
    slot *s;
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
        s = find_long(p, word + 2, length);
        if (s == NULL) {
            return unknown(p, word, word + 2, length);
        }
    } else {
        s = find_letter(p, word[1]);
        value = word[2] == '\0' ? NULL : word + 2; /* -oOUT */
        if (s == NULL || (value != NULL && s->option->kind == CLI_FLAG)) {
            return unknown(p, word, word + 1, strlen(word + 1));
        }
    }
    if (s->option->kind == CLI_FLAG && value != NULL) {
        cli_error("--%s takes no value", s->option->name);
        return false;
    }
    if (s->option->kind != CLI_FLAG && value == NULL) {
        if (*index + 1 >= count || strncmp(words[*index + 1], "--", 2) == 0) {
            cli_error("--%s: a value is missing: give --%s %s", s->option->name, s->option->name,
                      s->option->value);
            return false;
        }
        value = words[++*index];
    }
    return set(s, value);
}

static bool take_operand(const parser *p, const char *word, const char **operand) {
    if (strcmp(word, "-") == 0) {
        cli_error("'-': a model is read from a file, not from stdin; give its name");
        return false;
    }
    if (*operand != NULL) {
        cli_error("'%s': one model is given already, '%s'; 'tdsnn %s --help' shows the usage", word,
                  *operand, p->syntax->name);
        return false;
    }
    *operand = word;
    return true;
}

static bool check_required(const parser *p) {
    for (size_t i = 0; i < p->count; i++) {
        const cli_option *o = p->slots[i].option;
        if (o->required && !p->slots[i].seen) {
            cli_error("tdsnn %s: --%s %s is missing; 'tdsnn %s --help' shows examples",
                      p->syntax->name, o->name, o->value, p->syntax->name);
            return false;
        }
    }
    return true;
}

bool cli_parse(const cli_syntax *syntax, int count, char **words, void *arguments,
               const char **operand) {
    parser p = {.syntax = syntax};
    bool only_operands = false;
    list_options(&p, arguments);
    *operand = NULL;
    for (int i = 0; i < count; i++) {
        bool option = !only_operands && words[i][0] == '-' && words[i][1] != '\0';
        if (option && strcmp(words[i], "--") == 0) {
            only_operands = true;
        } else if (option ? !take_option(&p, count, words, &i)
                          : !take_operand(&p, words[i], operand)) {
            return false;
        }
    }
    return check_required(&p);
}

/* ----------------------------------------------------------------------------------------- help */

#define HELP_COLUMN 26

static void print_lines(const char *text, int indent) {
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        printf("%*s%.*s\n", indent, "", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void print_option(const cli_option *o) {
    char left[80];
    const char *value = o->value == NULL ? "" : o->value;
    int used = o->letter != 0
                   ? snprintf(left, sizeof left, "  -%c, --%s %s", o->letter, o->name, value)
                   : snprintf(left, sizeof left, "  --%s %s", o->name, value);
    size_t first = strcspn(o->help, "\n");
    if (used >= HELP_COLUMN) {
        printf("%s\n%*s", left, HELP_COLUMN, "");
    } else {
        printf("%-*s", HELP_COLUMN, left);
    }
    printf("%.*s\n", (int)first, o->help);
    if (o->help[first] == '\n') {
        print_lines(o->help + first + 1, HELP_COLUMN);
    }
}

void cli_help(const cli_syntax *syntax) {
    printf("tdsnn %s: %s\n\nExamples:\n", syntax->name, syntax->summary);
    print_lines(syntax->examples, 2);
    printf("\nUsage: tdsnn %s %s\n", syntax->name, syntax->usage);
    for (int g = 0; g < CLI_MAX_GROUPS && syntax->groups[g].options != NULL; g++) {
        printf("\n%s:\n", syntax->groups[g].title);
        for (const cli_option *o = syntax->groups[g].options; o->kind != CLI_END; o++) {
            print_option(o);
        }
        if (syntax->groups[g].footer != NULL) {
            print_lines(syntax->groups[g].footer, 2);
        }
    }
}
