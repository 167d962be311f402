#include "engine/kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

#define KERNELS(variant, runs) extern const td_kernels td_kernels_##variant;
#include "engine/kernels/kernels.inc"
#undef KERNELS

const td_kernels *td_kernels_at(int index, int *runs) {
    int at = 0;
#define KERNELS(variant, condition)                                                                \
    if (at++ == index) {                                                                           \
        *runs = (condition) != 0;                                                                  \
        return &td_kernels_##variant;                                                              \
    }
#include "engine/kernels/kernels.inc"
#undef KERNELS
    return NULL;
}

const td_kernels *td_kernels_find(const char *name) {
    const char *most = name != NULL ? NULL : getenv("TDSNN_CPU");
    const td_kernels *found = NULL, *kernels;
    int runs;
    for (int i = 0; (kernels = td_kernels_at(i, &runs)) != NULL; i++) {
        if (runs && (name == NULL || strcmp(kernels->name, name) == 0)) {
            found = kernels;
        }
        if (most != NULL && strcmp(kernels->name, most) == 0) {
            break;
        }
    }
    return found;
}
