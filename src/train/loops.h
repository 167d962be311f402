/* Loops that are compiled for several instruction sets, the widest chosen when the program starts.
 * None adds in another order than it is written in, so all give the same bits. */
#ifndef TD_TRAIN_LOOPS_H
#define TD_TRAIN_LOOPS_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TD_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define TD_CLONES
#endif

/* Elements that may be read or written behind the end of every array of values. */
#define TD_SPARE 64

#endif
