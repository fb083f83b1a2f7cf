#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

jmp_buf on_failure;
char failure[500];

_Noreturn void fail(Outcome outcome, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
    longjmp(on_failure, outcome);
}

// The arena is a chain of blocks. The last one is given away from its front; when it is full, a new one is added.
typedef struct Block {
    struct Block *before;
    size_t size, used;
    max_align_t bytes[];  // max_align_t: aligned for whatever is put there
} Block;

enum { BLOCK_SIZE = 1 << 18 };

static Block *last;

void *arena_get(size_t count, size_t size) {
    const size_t unit = sizeof(max_align_t);
    if (size > 0 && count > (SIZE_MAX / 4) / size) fail(FAILED, "out of memory");
    const size_t wanted = (count * size + unit - 1) / unit * unit;  // rounded up, so that the next one is aligned too

    if (!last || last->size - last->used < wanted) {
        const size_t block_size = wanted > BLOCK_SIZE ? wanted : BLOCK_SIZE;
        Block *block = malloc(sizeof(Block) + block_size);
        if (!block) fail(FAILED, "out of memory");
        *block = (Block){.before = last, .size = block_size};
        last = block;
    }
    void *given = (char *)last->bytes + last->used;
    last->used += wanted;
    return memset(given, 0, wanted);
}

double *new_numbers(size_t count) { return arena_get(count, sizeof(double)); }

void arena_free_all(void) {
    while (last) {
        Block *before = last->before;
        free(last);
        last = before;
    }
}
