/* IDX: two bytes, big end first, say how many of those behind them are the pictures' file; the
 * labels' file has the rest. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    if (size < 2) {
        return 0;
    }
    size_t pictures = (size_t)bytes[0] << 8 | bytes[1], rest = size - 2;
    pictures = pictures < rest ? pictures : rest;
    fuzz_write("t10k-images-idx3-ubyte", bytes + 2, pictures);
    fuzz_write("t10k-labels-idx1-ubyte", bytes + 2 + pictures, rest - pictures);
    fuzz_data("mnist", ".", &options);
    return 0;
}
