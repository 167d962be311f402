/* numpy's files, in both layouts: .npz where the bytes start as a zip archive does, else .npy. */
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    bool archive = size >= 2 && memcmp(bytes, "PK", 2) == 0;
    fuzz_write("array", bytes, size);
    fuzz_data(archive ? "npz" : "npy", "array", &options);
    options.layout = TDSNN_LAYOUT_NHWC;
    fuzz_data(archive ? "npz" : "npy", "array", &options);
    return 0;
}
