/* A JPEG or PNG file, as it is, and resized and cropped for networks that want grey and colour. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    fuzz_write("picture", bytes, size);
    fuzz_data("images", "picture", &options);
    options.resize = 6;
    options.crop = 5;
    options.shape[1] = options.shape[2] = 5;
    for (int channels = 1; channels <= 3; channels += 2) {
        options.shape[0] = channels;
        fuzz_data("images", "picture", &options);
    }
    return 0;
}
