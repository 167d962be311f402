/* Lane by lane, for instruction sets without gathers: spike times, values, lists. */

static inline uint8_t encode_one(const td_encoder *e, float drive) {
    float sum = drive + e->shift;
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    /* negative sums have the highest bit: as signed numbers they lie below `lowest` */
    int32_t above = (int32_t)bits < (int32_t)e->lowest ? 0 : (int32_t)(bits - e->lowest);
    uint32_t bucket = (uint32_t)above >> e->dropped;
    bucket = bucket < e->last ? bucket : e->last;
    uint32_t times = e->times[bucket];
    uint32_t time = drive > e->thresholds[bucket] ? times >> 8 : times;
    return (uint8_t)(drive == drive ? time : 0); /* what is no number fires at 0 */
}

static inline void encode_lanes(const td_encoder *e, const float *drives, uint8_t *times) {
    for (int i = 0; i < LANES; i++) {
        times[i] = encode_one(e, drives[i]);
    }
}

static inline void decode_lanes(const float *table, const uint8_t *times, float *values) {
    for (int i = 0; i < LANES; i++) {
        values[i] = table[times[i]];
    }
}

static inline size_t list_lanes(const float *values, int count, uint32_t first, uint32_t *places,
                                float *event_values) {
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        places[n] = first + (uint32_t)i;
        event_values[n] = values[i];
        n += values[i] != 0.0f;
    }
    return n;
}
