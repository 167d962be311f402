/* Command-line options as tables: parsing, suggestions and help come from the same rows. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an option's value is, and the type of the field it goes to. */
typedef enum cli_kind {
    CLI_END,    /* ends a table */
    CLI_FLAG,   /* bool; no value */
    CLI_TEXT,   /* const char * */
    CLI_INT,    /* int */
    CLI_SIZE,   /* size_t */
    CLI_SEED,   /* uint64_t */
    CLI_REAL,   /* double */
    CLI_SCALE,  /* double: a decimal or a fraction, "1/255" */
    CLI_LIST,   /* cli_list: numbers with commas between, "0.5,0.25" */
    CLI_CHOICE, /* int: the index of the word in `value`, "nearest|ceil" */
} cli_kind;

/* count 0: not given. */
typedef struct cli_list {
    int count;
    double values[4];
} cli_list;

typedef struct cli_option {
    cli_kind kind;
    const char *name;  /* without the dashes */
    char letter;       /* of the short form, or 0 */
    const char *value; /* what the value is called in the help */
    const char *help;  /* lines separated by \n */
    size_t offset;     /* of the field, in the group's struct */
    double low, high;  /* of CLI_INT, CLI_REAL, CLI_LIST: the range */
    const char *word;  /* of CLI_INT, CLI_REAL: a word that may stand for word_value, or NULL */
    int word_value;
    bool required;
} cli_option;

/* A table of options, the struct they go to lying `offset` into the command's arguments. */
typedef struct cli_group {
    const char *title;
    const cli_option *options;
    size_t offset;
    const char *footer; /* printed below the group's help; NULL: nothing */
} cli_group;

#define CLI_MAX_GROUPS 5

/* What a command takes; what it does is in command.h. */
typedef struct cli_syntax {
    const char *name, *summary;
    const char *examples; /* lines */
    const char *usage;    /* "MODEL --data DATA [options]" */
    cli_group groups[CLI_MAX_GROUPS];
} cli_syntax;

/* Reads the arguments behind the command's name into `arguments`, whose fields hold their defaults.
 * At most one operand is taken; *operand is NULL without one. False with a message on stderr if
 * something is wrong; the fields are then undefined. */
bool cli_parse(const cli_syntax *syntax, int count, char **words, void *arguments,
               const char **operand);

/* The help page, on stdout. */
void cli_help(const cli_syntax *syntax);

/* Reads a finite decimal that is all of the text. */
bool cli_read_real(const char *text, double *value);

/* The name most like `word`, or NULL if none is close. */
const char *cli_nearest(const char *word, const char *const *names, size_t count);

#endif
