/* The wire format: every number comes back, and nothing is read past the end. */
#include "onnx/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tap.h"

/* The bytes in memory of exactly their size, so that a sanitizer sees a byte too far. */
static td_wire exact(const void *bytes, size_t size) {
    unsigned char *copy = malloc(size == 0 ? 1 : size);
    memcpy(copy, bytes, size);
    return (td_wire){.at = copy, .end = copy + size};
}

static void release(const unsigned char *start) {
    free((void *)start);
}

/* Whether the whole message reads without damage; the last field is left in *field. */
static bool sound(const void *bytes, size_t size, td_field *field, int *fields) {
    td_wire wire = exact(bytes, size);
    const unsigned char *start = wire.at;
    *fields = 0;
    while (td_wire_next(&wire, field)) {
        ++*fields;
    }
    release(start);
    return !wire.damaged;
}

static size_t put_varint(unsigned char *to, uint64_t value) {
    size_t size = 0;
    for (; value > 0x7f; value >>= 7) {
        to[size++] = (unsigned char)(value | 0x80);
    }
    to[size++] = (unsigned char)value;
    return size;
}

static void test_varints(void) {
    td_random random;
    td_field field;
    int fields, wrong = 0;
    td_random_seed(&random, 1, 0);
    for (int i = 0; i < 10000; i++) {
        unsigned char bytes[16] = {1 << 3};
        uint64_t value = td_random_u64(&random) >> td_random_below(&random, 64);
        size_t size = 1 + put_varint(bytes + 1, value);
        wrong += !sound(bytes, size, &field, &fields) || fields != 1 || field.value != value ||
                 field.key != TD_WIRE_KEY(1, TD_WIRE_VARINT);
        wrong += sound(bytes, size - 1, &field, &fields);
    }
    ok(wrong == 0, "varints of every length come back, and not with a byte less");
    ok(sound("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, &field, &fields) &&
           field.value == UINT64_MAX,
       "the largest varint");
    ok(!sound("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, &field, &fields),
       "a varint of 65 bits is damage");
    ok(!sound("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12, &field, &fields),
       "a varint of eleven bytes is damage");
}

static void test_fields(void) {
    td_field field;
    int fields;
    ok(sound("", 0, &field, &fields) && fields == 0, "an empty message is sound");
    ok(sound("\x0d\x01\x02\x03\x04", 5, &field, &fields) && field.value == 0x04030201,
       "32 bits, little end first");
    ok(sound("\x09\x01\x02\x03\x04\x05\x06\x07\x08", 9, &field, &fields) &&
           field.value == 0x0807060504030201,
       "64 bits, little end first");
    ok(!sound("\x0d\x01\x02\x03", 4, &field, &fields), "32 bits cut off");
    ok(!sound("\x09\x01\x02\x03\x04\x05\x06\x07", 8, &field, &fields), "64 bits cut off");
    ok(sound("\x0a\x02hi", 4, &field, &fields) && td_wire_size(&field.bytes) == 2, "a string");
    ok(!sound("\x0a\x03hi", 4, &field, &fields), "a string that is longer than its message");
    ok(!sound("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01hi", 13, &field, &fields),
       "a string of 2^64 - 1 bytes");
    ok(!sound("\x0b\x0c", 2, &field, &fields), "a group is damage");
    ok(!sound("\x00\x01", 2, &field, &fields), "field 0 is damage");
    ok(!sound("\x80\x80\x80\x80\x10\x01", 6, &field, &fields), "a key beyond 32 bits is damage");
    ok(!sound("\x0a\x00\x0f", 3, &field, &fields) && fields == 1, "type 7 is damage");
}

/* The sum and number of field 1's numbers; false if damaged. */
static bool total(const void *bytes, size_t size, td_wire_type type, uint64_t *sum, size_t *count) {
    td_wire wire = exact(bytes, size);
    const unsigned char *start = wire.at;
    td_items items = {.message = wire, .number = 1, .type = type};
    uint64_t value;
    size_t counted;
    bool same = td_items_count(items, &counted);
    *sum = 0;
    *count = 0;
    while (td_items_next(&items, &value)) {
        *sum += value;
        ++*count;
    }
    bool good = !items.message.damaged;
    release(start);
    return good && same && counted == *count;
}

static void test_items(void) {
    uint64_t sum;
    size_t count;
    ok(total("\x08\x05\x08\x06", 4, TD_WIRE_VARINT, &sum, &count) && sum == 11 && count == 2,
       "repeated numbers, each with its key");
    ok(total("\x0a\x03\x05\x80\x01\x08\x02\x12\x01x\x0a\x00\x0a\x01\x03", 15, TD_WIRE_VARINT, &sum,
             &count) &&
           sum == 138 && count == 4,
       "packed and unpacked, empty runs, and other fields between");
    ok(total("\x0a\x08\x01\x00\x00\x00\x02\x00\x00\x00", 10, TD_WIRE_FIXED32, &sum, &count) &&
           sum == 3 && count == 2,
       "packed 32-bit numbers");
    ok(!total("\x0a\x07\x01\x00\x00\x00\x02\x00\x00", 9, TD_WIRE_FIXED32, &sum, &count),
       "a packed run that ends inside a number is damage");
    ok(!total("\x0a\x02\x05\x80\x08\x02", 6, TD_WIRE_VARINT, &sum, &count),
       "a packed varint does not run on into the next field");
    ok(!total("\x08\x05\x08", 3, TD_WIRE_VARINT, &sum, &count), "a message cut off");
}

int main(void) {
    test_varints();
    test_fields();
    test_items();
    return tap_end();
}
