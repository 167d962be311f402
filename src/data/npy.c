#include "data/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

static const char magic[6] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y'};

/* Types by their name in the header. */
static const struct {
    const char *name;
    td_element type;
} types[] = {{"|u1", TD_UINT8}, /* first of its type: what is written */
             {"|b1", TD_UINT8}, {"|i1", TD_INT8},    {"<u2", TD_UINT16},
             {"<i2", TD_INT16}, {"<u4", TD_UINT32},  {"<i4", TD_INT32},
             {"<i8", TD_INT64}, {"<f4", TD_FLOAT32}, {"<f8", TD_FLOAT64}};
#define TYPE_COUNT (sizeof types / sizeof types[0])

/* A real header has about a hundred characters; structured types, which are not read, have more. */
#define HEADER_LIMIT 4096

/* The dictionary being read; it ends with a zero byte. */
typedef struct parser {
    const char *text;
    const char *refusal; /* set by the first thing that is wrong */
} parser;

static bool refuse(parser *p, const char *why) {
    if (p->refusal == NULL) {
        p->refusal = why;
    }
    return false;
}

static void skip_spaces(parser *p) {
    p->text += strspn(p->text, " \n");
}

/* Takes `word` if it comes next. */
static bool take(parser *p, const char *word) {
    skip_spaces(p);
    size_t length = strlen(word);
    if (strncmp(p->text, word, length) != 0) {
        return false;
    }
    p->text += length;
    return true;
}

static bool parse_type(parser *p, td_array *array) {
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        char quoted[8];
        snprintf(quoted, sizeof quoted, "'%s'", types[i].name);
        if (take(p, quoted)) {
            array->type = types[i].type;
            return true;
        }
    }
    return refuse(p, "its type is none of little-endian float32, float64, bool, uint8 to uint32, "
                     "int8 to int64: convert it with astype");
}

static bool parse_order(parser *p) {
    if (take(p, "True")) {
        return refuse(p, "it is in Fortran order: save numpy.ascontiguousarray of it");
    }
    return take(p, "False") || refuse(p, "fortran_order is neither True nor False");
}

static bool parse_dim(parser *p, size_t *dim) {
    skip_spaces(p);
    const char *start = p->text;
    *dim = 0;
    for (; *p->text >= '0' && *p->text <= '9'; p->text++) {
        if (!td_size_mul(*dim, 10, dim) || !td_size_add(*dim, (size_t)(*p->text - '0'), dim)) {
            return refuse(p, "its shape is too large");
        }
    }
    return p->text > start || refuse(p, "its shape is no list of numbers");
}

static bool parse_shape(parser *p, td_array *array) {
    if (!take(p, "(")) {
        return refuse(p, "its shape is no list of numbers");
    }
    array->rank = 0;
    while (!take(p, ")")) {
        if (array->rank == TD_ARRAY_RANK) {
            return refuse(p, "it has more than four dimensions: reshape it");
        }
        if (!parse_dim(p, &array->dims[array->rank])) {
            return false;
        }
        array->rank++;
        if (!take(p, ",") && *p->text != ')') {
            return refuse(p, "its shape is no list of numbers");
        }
    }
    return array->rank > 0 || refuse(p, "it is a single number, not an array of samples");
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), } in any order. */
static bool parse_dictionary(parser *p, td_array *array) {
    bool type = false, order = false, shape = false;
    if (!take(p, "{")) {
        return refuse(p, "its header is no dictionary");
    }
    while (!take(p, "}")) {
        bool sound;
        if (!type && take(p, "'descr':")) {
            sound = type = parse_type(p, array);
        } else if (!order && take(p, "'fortran_order':")) {
            sound = order = parse_order(p);
        } else if (!shape && take(p, "'shape':")) {
            sound = shape = parse_shape(p, array);
        } else {
            sound = false;
        }
        if (!sound || (!take(p, ",") && *p->text != '}')) {
            return refuse(p, "its header is no dictionary of descr, fortran_order and shape");
        }
    }
    skip_spaces(p);
    return (type && order && shape && *p->text == '\0') ||
           refuse(p, "its header is no dictionary of descr, fortran_order and shape");
}

static tdsnn_status refused(tdsnn_context *ctx, const td_stream *stream, const char *why) {
    return td_error(ctx, TDSNN_ERR_INPUT, "%s: not an array that can be read: %s",
                    td_stream_place(stream), why);
}

/* Magic, version, and the length of the text that follows. */
static tdsnn_status read_start(tdsnn_context *ctx, td_stream *stream, size_t *length) {
    unsigned char start[12];
    tdsnn_status status = td_stream_read(stream, start, 8);
    if (status != TDSNN_OK) {
        return status;
    }
    int version = start[6];
    if (memcmp(start, magic, sizeof magic) != 0 || version < 1 || version > 3 || start[7] != 0) {
        return refused(ctx, stream, "it does not start as .npy files do: save it with numpy.save");
    }
    size_t width = version == 1 ? 2 : 4;
    status = td_stream_read(stream, start + 8, width);
    if (status != TDSNN_OK) {
        return status;
    }
    *length = 0;
    for (size_t i = width; i-- > 0;) {
        *length = *length << 8 | start[8 + i];
    }
    return *length <= HEADER_LIMIT ? TDSNN_OK : refused(ctx, stream, "its header is too long");
}

tdsnn_status td_npy_read(tdsnn_context *ctx, td_stream *stream, td_array *array) {
    char text[HEADER_LIMIT + 1];
    size_t length = 0;
    tdsnn_status status = read_start(ctx, stream, &length);
    if (status == TDSNN_OK) {
        status = td_stream_read(stream, text, length);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    text[length] = '\0';
    parser p = {.text = text};
    if (strlen(text) < length || !parse_dictionary(&p, array)) {
        return refused(ctx, stream, p.refusal != NULL ? p.refusal : "its header has a zero byte");
    }
    return td_array_fill(ctx, stream, array);
}

void td_npy_header(td_element type, uint64_t samples, int rank, const int *dims,
                   unsigned char header[TD_NPY_HEADER]) {
    char text[TD_NPY_HEADER];
    const char *name = "";
    for (size_t i = TYPE_COUNT; i-- > 0;) {
        name = types[i].type == type ? types[i].name : name;
    }
    int used =
        snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%llu,", name,
                 (unsigned long long)samples);
    for (int i = 0; i < rank; i++) {
        used += snprintf(text + used, sizeof text - (size_t)used, " %d,", dims[i]);
    }
    used += snprintf(text + used, sizeof text - (size_t)used, "), }");
    memset(header, ' ', TD_NPY_HEADER);
    memcpy(header, magic, sizeof magic);
    header[6] = 1; /* version 1.0 */
    header[7] = 0;
    header[8] = TD_NPY_HEADER - 10;
    header[9] = 0;
    memcpy(header + 10, text, (size_t)used);
    header[TD_NPY_HEADER - 1] = '\n';
}
