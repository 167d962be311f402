/* numpy's files, in both layouts, with and without a network that wants a shape: .npz where the
 * bytes start as a zip archive does, else .npy. */
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    bool archive = size >= 2 && memcmp(bytes, "PK", 2) == 0;
    fuzz_write("array", bytes, size);
    fuzz_data(archive ? "npz" : "npy", "array", &options);
    options.layout = TDSNN_LAYOUT_NHWC;
    options.shape[0] = options.shape[2] = 2;
    options.shape[1] = 1;
    fuzz_data(archive ? "npz" : "npy", "array", &options);
    return 0;
}
