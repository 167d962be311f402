#include "data/fit.h"

#include "base/context.h"

tdsnn_status td_data_fits(tdsnn_context *ctx, const tdsnn_data *data, td_shape input) {
    tdsnn_data_info info = tdsnn_data_get_info(data);
    td_shape sample = {info.shape[0], info.shape[1], info.shape[2], false};
    bool fits = input.flat ? td_shape_count(sample) == td_shape_count(input)
                           : sample.c == input.c && sample.h == input.h && sample.w == input.w;
    return fits ? TDSNN_OK
                : td_error(ctx, TDSNN_ERR_USAGE,
                           "%s has samples of %dx%dx%d, but the network wants %dx%dx%d", info.spec,
                           sample.c, sample.h, sample.w, input.c, input.h, input.w);
}
