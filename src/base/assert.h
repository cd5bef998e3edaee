/* Assertions that stay in: our own invariant is broken, so the process dies and its keeper revives it.
 *
 * Never used for what a peer, a disk or an operator can cause: that is an error (base/err.h). */
#ifndef HOLDFAST_BASE_ASSERT_H
#define HOLDFAST_BASE_ASSERT_H

/* Writes one line to standard error and aborts. Async-signal-safe. */
_Noreturn void assert_failed(const char *expression, const char *file, int line);

#define MUST(expression)                                                                                     \
    do {                                                                                                     \
        if (__builtin_expect(!(expression), 0))                                                              \
            assert_failed(#expression, __FILE__, __LINE__);                                                  \
    } while (0)

#endif
