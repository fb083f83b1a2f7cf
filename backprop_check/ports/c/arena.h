// Memory and failure, for a program that answers one request after the other.
//
// All memory that a request needs comes from one arena, and goes back all at once after the reply: nothing is freed
// one by one, so nothing can be forgotten. And whatever goes wrong, however deep, leads straight to the reply.
#ifndef ARENA_H
#define ARENA_H

#include <setjmp.h>
#include <stddef.h>

// Gives memory for `count` things of `size` bytes, all zero, until the next arena_free_all.
void *arena_get(size_t count, size_t size);

// Gives so many numbers, all 0.
double *new_numbers(size_t count);

void arena_free_all(void);

typedef enum {
    FINE,
    FAILED,        // something went wrong: an error
    NOT_THERE_YET  // the request asks for something that this program has not learnt: a skip
} Outcome;

// Where a failure leads to: `setjmp(on_failure)` gives FINE at first, and the Outcome of a failure later.
extern jmp_buf on_failure;

// What went wrong, in words.
extern char failure[500];

// Gives up the request. The words are printf's. Does not return.
_Noreturn void fail(Outcome outcome, const char *format, ...);

#endif
