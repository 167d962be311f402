/* Protobuf's wire format, read in place: no copies, no recursion, never past the end. */
#ifndef TD_ONNX_WIRE_H
#define TD_ONNX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of a message, or the bytes of a string. */
typedef struct td_wire {
    const unsigned char *at, *end;
    bool damaged; /* the bytes at `at` are no field, or run past the end */
} td_wire;

static inline size_t td_wire_size(const td_wire *wire) {
    return (size_t)(wire->end - wire->at);
}

typedef enum td_wire_type {
    TD_WIRE_VARINT = 0,
    TD_WIRE_FIXED64 = 1,
    TD_WIRE_BYTES = 2, /* a string, a message, or packed numbers */
    TD_WIRE_FIXED32 = 5
} td_wire_type;

/* A field's number and type in one, as the wire has it: what a reader switches on. A known number
 * with a type that is not its own is a key that no reader knows, and is skipped as protobuf asks.
 */
#define TD_WIRE_KEY(number, type) ((number) << 3 | (type))

typedef struct td_field {
    uint32_t key;
    uint64_t value; /* of a number: its bits, little end first */
    td_wire bytes;  /* of TD_WIRE_BYTES; lies inside the message */
} td_field;

/* Takes the next field. False at the end, and where the message is damaged: look at `damaged`
 * after the loop. Groups, which ONNX does not have, count as damage. */
bool td_wire_next(td_wire *message, td_field *field);

/* The numbers of a repeated field, packed, one by one, or both. Start from
 * (td_items){.message = ..., .number = ..., .type = ...}. */
typedef struct td_items {
    td_wire message;
    uint32_t number;
    td_wire_type type; /* of one number */
    td_wire packed;    /* the run being read */
} td_items;

/* Takes the next number. False at the end, and where the message or a packed run is damaged:
 * look at message.damaged after the loop. */
bool td_items_next(td_items *items, uint64_t *value);

/* How many there are; false if damaged. */
bool td_items_count(td_items items, size_t *count);

/* A number of `width` bytes (1, 2, 4 or 8), little end first. */
static inline uint64_t td_wire_load(const unsigned char *bytes, size_t width) {
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

#endif
