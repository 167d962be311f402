#include "measure/quantile.h"

#include <stdlib.h>

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double td_quantile(double *values, size_t count, double share) {
    qsort(values, count, sizeof *values, compare_doubles);
    return values[(size_t)((double)(count - 1) * share + 0.5)];
}
