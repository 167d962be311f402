/* A JSON document being put together. */
#ifndef TD_REPORT_JSON_H
#define TD_REPORT_JSON_H

#include <jansson.h>

#include "base/context.h"

typedef struct td_json {
    json_t *root;
    bool failed; /* no memory: noticed once, at the end */
} td_json;

/* Starts a document "tdsnn.KIND/1" with the keys that every document has. */
td_json td_json_start(tdsnn_context *ctx, const char *kind, uint64_t seed);

/* Each puts one key into `object`, in the order of the calls. */
void td_json_integer(td_json *j, json_t *object, const char *key, uint64_t value);
/* Not finite: null. */
void td_json_real(td_json *j, json_t *object, const char *key, double value);
void td_json_bool(td_json *j, json_t *object, const char *key, bool value);
void td_json_null(td_json *j, json_t *object, const char *key);
/* Bytes outside ASCII become '?' in text that is not UTF-8: names come from files. NULL: null. */
void td_json_text(td_json *j, json_t *object, const char *key, const char *value);
/* The new, empty object or array; it belongs to the document. */
json_t *td_json_object(td_json *j, json_t *object, const char *key);
json_t *td_json_array(td_json *j, json_t *object, const char *key);
/* A new object at the array's end. */
json_t *td_json_item(td_json *j, json_t *array);

/* Writes the document and frees it. Errors: TDSNN_ERR_RUNTIME. */
tdsnn_status td_json_finish(td_json *j, tdsnn_context *ctx, FILE *out);

#endif
