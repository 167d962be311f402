#include "report/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tdsnn/report.h>

static json_t *put(td_json *j, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0) {
        j->failed = true;
    }
    return value;
}

td_json td_json_start(tdsnn_context *ctx, const char *kind, uint64_t seed) {
    char text[128];
    td_json j = {.root = json_object()};
    snprintf(text, sizeof text, "tdsnn.%s/1", kind);
    td_json_text(&j, j.root, "schema", text);
    td_json_text(&j, j.root, "version", tdsnn_version());
    tdsnn_cpu_name(text, sizeof text);
    td_json_text(&j, j.root, "cpu", text);
    td_json_integer(&j, j.root, "threads", (uint64_t)tdsnn_threads(ctx));
    td_json_integer(&j, j.root, "seed", seed);
    return j;
}

void td_json_integer(td_json *j, json_t *object, const char *key, uint64_t value) {
    if (value <= INT64_MAX) {
        put(j, object, key, json_integer((json_int_t)value));
    } else {
        td_json_real(j, object, key, (double)value);
    }
}

void td_json_real(td_json *j, json_t *object, const char *key, double value) {
    put(j, object, key, isfinite(value) ? json_real(value) : json_null());
}

void td_json_bool(td_json *j, json_t *object, const char *key, bool value) {
    put(j, object, key, json_boolean(value));
}

void td_json_null(td_json *j, json_t *object, const char *key) {
    put(j, object, key, json_null());
}

static json_t *plain_text(const char *value) {
    char *copy = strdup(value);
    for (char *c = copy; c != NULL && *c != '\0'; c++) {
        *c = (unsigned char)*c >= 0x80 ? '?' : *c;
    }
    json_t *text = copy == NULL ? NULL : json_string(copy);
    free(copy);
    return text;
}

void td_json_text(td_json *j, json_t *object, const char *key, const char *value) {
    json_t *text = value == NULL ? json_null() : json_string(value);
    put(j, object, key, text != NULL ? text : plain_text(value));
}

json_t *td_json_object(td_json *j, json_t *object, const char *key) {
    return put(j, object, key, json_object());
}

json_t *td_json_array(td_json *j, json_t *object, const char *key) {
    return put(j, object, key, json_array());
}

json_t *td_json_item(td_json *j, json_t *array) {
    json_t *item = json_object();
    if (json_array_append_new(array, item) != 0) {
        j->failed = true;
    }
    return item;
}

tdsnn_status td_json_finish(td_json *j, tdsnn_context *ctx, FILE *out) {
    tdsnn_status status = TDSNN_OK;
    if (j->failed || j->root == NULL) {
        status = td_error(ctx, TDSNN_ERR_RUNTIME, "no memory for the JSON document");
    } else if (json_dumpf(j->root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0 ||
               fputc('\n', out) == EOF || fflush(out) != 0) {
        status = td_error(ctx, TDSNN_ERR_RUNTIME, "the JSON document cannot be written: %s",
                          strerror(errno));
    }
    json_decref(j->root);
    return status;
}
