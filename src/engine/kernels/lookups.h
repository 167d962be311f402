/* Lane by lane, for instruction sets that cannot look up in registers: spike times, values, lists.
 */

typedef const td_tree *search;

static inline search search_start(const td_tree *tree) {
    return tree;
}

static inline void encode_lanes(const search *s, const int levels, const float *drives,
                                uint8_t *times) {
    unsigned first = 1u << levels;
    for (int i = 0; i < LANES; i++) {
        unsigned node = 1;
        while (node < first) {
            node = 2 * node + (drives[i] > (*s)->nodes[node]);
        }
        times[i] = (uint8_t)(node - first);
    }
}

#define DECODE_REGISTERS 1
typedef const float *lookup;

static inline lookup lookup_start(const float *table, int steps) {
    (void)steps;
    return table;
}

static inline void decode_lanes(const lookup *table, const uint8_t *times, float *values) {
    for (int i = 0; i < LANES; i++) {
        values[i] = (*table)[times[i]];
    }
}

typedef uint32_t places;

static inline places places_from(uint32_t event) {
    return event;
}

static inline places places_next(places at) {
    return at + ((uint32_t)LANES << 16);
}

static inline size_t list_lanes(const uint8_t *times, const uint8_t *negative, int count,
                                places first, uint32_t *events) {
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        uint32_t index = times[i];
        if (negative != NULL && negative[i] != 0) {
            index = TD_NEGATIVE + (uint32_t)negative[i];
        }
        events[n] = first + ((uint32_t)i << 16) + index;
        n += index != 0;
    }
    return n;
}
