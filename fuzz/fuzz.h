/* What the fuzz targets share. A target is one file: LLVMFuzzerTestOneInput, which hands the bytes
 * to a reader; script/fuzz drives it by libFuzzer, replay.c by the files of its corpus. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include <tdsnn/data.h>

/* Seen by the linker alone: declared for -Wmissing-prototypes. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* One for the whole run, of one thread. */
tdsnn_context *fuzz_context(void);

/* The path of `name` in a folder of this run's own, in memory where the system has such; good until
 * the next call. The folder is removed at the end. */
const char *fuzz_path(const char *name);

/* Writes that file anew. */
void fuzz_write(const char *name, const uint8_t *bytes, size_t size);

/* Opens KIND:FOLDER/NAME and reads all samples, to see whether they can be used. */
void fuzz_data(const char *kind, const char *name, const tdsnn_data_options *options);

/* Stops the run where a reader failed without a sentence, or with one of several lines. */
void fuzz_check(tdsnn_status status);

#endif
