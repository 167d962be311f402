/* CIFAR-10's test file, packed or not. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    fuzz_write("test_batch.bin", bytes, size);
    fuzz_data("cifar10", ".", &options);
    return 0;
}
