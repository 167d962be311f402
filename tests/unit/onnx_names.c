/* Names: text that is safe to print, numbers in the order of first occurrence, uniqueness. */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "onnx/reader.h"
#include "tap.h"

static td_wire wire(const char *text, size_t size) {
    const unsigned char *bytes = (const unsigned char *)text;
    return (td_wire){.at = bytes, .end = bytes + size};
}

static void test_text(td_reader *r) {
    static const struct {
        const char *bytes, *what;
        size_t size;
        bool name, text;
    } cases[] = {
        {"conv1/W:0", "ASCII", 9, true, true},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\xa7\xa0", "two, three and four bytes", 9, true, true},
        {"a\nb", "a line end", 3, false, true},
        {"a\tb\r", "tab and return", 4, false, true},
        {"a\0b", "a zero byte", 3, false, false},
        {"\x1b[31m", "a terminal's escape", 5, false, false},
        {"\x7f", "delete", 1, false, false},
        {"\xc2\x9b", "a control character beyond ASCII", 2, false, false},
        {"\xc3", "cut off", 1, false, false},
        {"\xc0\xaf", "overlong, two bytes", 2, false, false},
        {"\xe0\x80\xaf", "overlong, three bytes", 3, false, false},
        {"\xf0\x80\x80\xaf", "overlong, four bytes", 4, false, false},
        {"\xed\xa0\x80", "a surrogate", 3, false, false},
        {"\xf4\x90\x80\x80", "beyond U+10FFFF", 4, false, false},
        {"\x80", "a continuation byte alone", 1, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        td_wire bytes = wire(cases[i].bytes, cases[i].size);
        const char *name = NULL, *text = NULL;
        bool named = td_read_name(r, &bytes, &name) == TDSNN_OK;
        bool read = td_read_text(r, &bytes, &text) == TDSNN_OK;
        ok(named == cases[i].name && read == cases[i].text &&
               (!named || memcmp(name, cases[i].bytes, cases[i].size + 1) == 0),
           "%s: %s as a name, %s as a text", cases[i].what, named ? "read" : "refused",
           read ? "read" : "refused");
    }
    char *lengthy = calloc(1, TD_ONNX_MAX_NAME + 2);
    memset(lengthy, 'a', TD_ONNX_MAX_NAME + 1);
    td_wire fits = wire(lengthy, TD_ONNX_MAX_NAME), over = wire(lengthy, TD_ONNX_MAX_NAME + 1);
    const char *name;
    ok(td_read_name(r, &fits, &name) == TDSNN_OK, "the longest name is read");
    ok(td_read_name(r, &over, &name) == TDSNN_ERR_INPUT, "a longer one is refused");
    free(lengthy);
}

/* Against the plain definition, on names that share beginnings and come again. */
static void test_numbers(td_reader *r) {
    enum { COUNT = 500 };
    static int place[COUNT], expected[COUNT];
    static char names[COUNT][8];
    td_refs refs = {0};
    td_source_value *values = NULL;
    td_random random;
    int wrong = 0, next = 0, count = 0;
    td_random_seed(&random, 2, 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s%d", td_random_below(&random, 2) == 0 ? "a" : "ab",
                 (int)td_random_below(&random, 100));
        td_wire name = wire(names[i], strlen(names[i]));
        td_refs_add(r, &refs, &name, &place[i]);
        int first = 0;
        while (strcmp(names[first], names[i]) != 0) {
            first++;
        }
        expected[i] = first == i ? next++ : expected[first];
    }
    tdsnn_status status = td_refs_number(r, &refs, &values, &count);
    for (int i = 0; i < COUNT && status == TDSNN_OK; i++) {
        wrong += place[i] != expected[i] || strcmp(values[place[i]].name, names[i]) != 0;
    }
    ok(status == TDSNN_OK && wrong == 0 && count == next,
       "%d names get %d numbers in the order of their first occurrence", COUNT, count);
    td_free(refs.items);
    refs = (td_refs){0};
    ok(td_refs_number(r, &refs, &values, &count) == TDSNN_OK && count == 0, "no names, no values");
}

static void test_unique(td_reader *r) {
    const char *names[] = {"a", "b", "a", "a_2", "a", "a_2", "b", ""};
    int count = sizeof names / sizeof *names, same = 0;
    ok(td_names_unique(r->ctx, r->arena, names, count) == TDSNN_OK, "names are made unique");
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < i; k++) {
            same += strcmp(names[i], names[k]) == 0;
        }
    }
    ok(same == 0, "no two are the same");
    ok(strcmp(names[0], "a") == 0 && strcmp(names[1], "b") == 0 && strcmp(names[3], "a_2") == 0,
       "the first of a name keeps it");
    ok(strcmp(names[2], "a_3") == 0 && strcmp(names[4], "a_4") == 0 &&
           strcmp(names[5], "a_2_2") == 0 && strcmp(names[6], "b_2") == 0,
       "the others get numbers past those that exist");

    enum { MANY = 200000 };
    const char **many = calloc(MANY, sizeof *many);
    for (int i = 0; i < MANY; i++) {
        many[i] = i % 2 == 0 ? "x" : td_arena_printf(r->arena, "x_%d", i);
    }
    ok(td_names_unique(r->ctx, r->arena, many, MANY) == TDSNN_OK, "%d names, half of them equal",
       MANY);
    free(many);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    td_reader reader = {.ctx = ctx, .path = "test.onnx", .arena = td_arena_create(ctx)};
    test_text(&reader);
    test_numbers(&reader);
    test_unique(&reader);
    td_arena_destroy(reader.arena);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
