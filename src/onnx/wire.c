#include "onnx/wire.h"

/* A varint: seven bits a byte, at most ten bytes, the last of which holds one bit. */
static bool take_varint(td_wire *wire, uint64_t *value) {
    uint64_t result = 0;
    const unsigned char *at = wire->at;
    for (unsigned shift = 0; shift < 70 && at < wire->end; shift += 7) {
        unsigned char byte = *at++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            wire->at = at;
            *value = result;
            return true;
        }
    }
    return false;
}

static bool take_fixed(td_wire *wire, size_t width, uint64_t *value) {
    if (td_wire_size(wire) < width) {
        return false;
    }
    *value = td_wire_load(wire->at, width);
    wire->at += width;
    return true;
}

static bool take_bytes(td_wire *wire, td_wire *bytes) {
    uint64_t size;
    if (!take_varint(wire, &size) || size > td_wire_size(wire)) {
        return false;
    }
    *bytes = (td_wire){.at = wire->at, .end = wire->at + size};
    wire->at += size;
    return true;
}

static bool take_number(td_wire *wire, td_wire_type type, uint64_t *value) {
    switch (type) {
    case TD_WIRE_VARINT:
        return take_varint(wire, value);
    case TD_WIRE_FIXED64:
        return take_fixed(wire, 8, value);
    case TD_WIRE_FIXED32:
        return take_fixed(wire, 4, value);
    default:
        return false;
    }
}

bool td_wire_next(td_wire *message, td_field *field) {
    if (message->at == message->end) {
        return false;
    }
    td_wire start = *message;
    uint64_t key;
    bool sound = take_varint(message, &key) && key >> 3 != 0 && key <= UINT32_MAX;
    if (sound) {
        *field = (td_field){.key = (uint32_t)key};
        td_wire_type type = (td_wire_type)(key & 7);
        sound = type == TD_WIRE_BYTES ? take_bytes(message, &field->bytes)
                                      : take_number(message, type, &field->value);
    }
    if (!sound) {
        *message = start; /* so that an error can name the place */
        message->damaged = true;
    }
    return sound;
}

bool td_items_next(td_items *items, uint64_t *value) {
    td_field field;
    for (;;) {
        if (items->packed.at != items->packed.end) {
            if (take_number(&items->packed, items->type, value)) {
                return true;
            }
            items->message.damaged = true;
            return false;
        }
        if (!td_wire_next(&items->message, &field)) {
            return false;
        }
        if (field.key == TD_WIRE_KEY(items->number, (uint32_t)items->type)) {
            *value = field.value;
            return true;
        }
        if (field.key == TD_WIRE_KEY(items->number, (uint32_t)TD_WIRE_BYTES)) {
            items->packed = field.bytes;
        }
    }
}

bool td_items_count(td_items items, size_t *count) {
    uint64_t value;
    *count = 0;
    while (td_items_next(&items, &value)) {
        ++*count;
    }
    return !items.message.damaged;
}
