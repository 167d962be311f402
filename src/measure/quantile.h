/* Quantiles of times measured again and again. */
#ifndef TD_MEASURE_QUANTILE_H
#define TD_MEASURE_QUANTILE_H

#include <stddef.h>

/* The value below which a share of `count` > 0 values lies; sorts them. */
double td_quantile(double *values, size_t count, double share);

#endif
