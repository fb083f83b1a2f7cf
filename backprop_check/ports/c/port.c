// The port: how backprop-check talks to the network in network.c.
//
// A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
// There is no mathematics here. Keep this file, and put your own network behind `backprop`.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activations.h"
#include "arena.h"
#include "backprop.h"
#include "json.h"
#include "losses.h"

// The line being answered, and the answer: each grows as needed, and is used again for the next request.
static char *line;
static size_t line_capacity;
static Writer reply;
static const Json *id;

// Reads one line, however long. Gives false at the end of the input.
static bool read_line(void) {
    size_t length = 0;
    int letter;
    while ((letter = getchar()) != EOF && letter != '\n') {
        if (length + 1 >= line_capacity) {
            line_capacity = line_capacity ? 2 * line_capacity : 1024;
            char *longer = realloc(line, line_capacity);
            if (!longer) exit(EXIT_FAILURE);
            line = longer;
        }
        line[length++] = (char)letter;
    }
    if (length == 0 && letter == EOF) return false;
    if (line) line[length] = '\0';
    return true;
}

// Says who we are and what we can do. What is not listed under "supports" is never asked for.
static void hello(const Json *request) {
    write_begin(&reply, '{');
    write_key(&reply, "protocol");
    write_number(&reply, 1);
    write_key(&reply, "name");
    write_text(&reply, "vanilla-c");
    write_key(&reply, "language");
    write_text(&reply, __STDC_VERSION__ >= 202311L ? "C23" : __STDC_VERSION__ >= 201710L ? "C17" : "C11");
    write_key(&reply, "version");
    write_text(&reply, "0.1.0");
    write_key(&reply, "dtype");
    write_text(&reply, "float64");
    write_key(&reply, "max_in_flight");
    write_number(&reply, 16);

    write_key(&reply, "supports");
    write_begin(&reply, '{');
    write_key(&reply, "layers");
    write_begin(&reply, '[');
    write_text(&reply, "dense");
    write_end(&reply, ']');
    write_key(&reply, "activations");
    write_begin(&reply, '[');
    for (size_t i = 0; i < ACTIVATION_COUNT; i++) write_text(&reply, ACTIVATIONS[i].name);
    write_end(&reply, ']');
    write_key(&reply, "losses");
    write_begin(&reply, '[');
    for (size_t i = 0; i < LOSS_COUNT; i++) write_text(&reply, LOSSES[i].name);
    write_end(&reply, ']');
    write_key(&reply, "optimizers");
    write_begin(&reply, '[');
    write_text(&reply, "sgd");
    write_end(&reply, ']');
    write_key(&reply, "batch");
    write_bool(&reply, true);
    write_end(&reply, '}');

    const Json *echo = json_find(request, "echo");
    if (echo) {
        write_key(&reply, "echo");
        write_json(&reply, echo);  // shows that no digit is lost on the way in and out
    }
    write_end(&reply, '}');
}

static void dispatch(void) {
    const Json *request = json_read(line);
    id = json_find(request, "id");
    const char *type = json_text(request, "type");
    if (strcmp(type, "hello") == 0) {
        hello(request);
    } else if (strcmp(type, "case") == 0) {
        backprop(request, &reply);
    } else {
        fail(NOT_THERE_YET, "the request %s is not there yet", type);
    }
}

static void begin_reply(void) {
    reply.length = 0;
    reply.comma = false;
}

// Replies "skip" or "error", with what went wrong.
static void answer_failure(const char *key) {
    begin_reply();  // drops what may have been written already
    write_begin(&reply, '{');
    write_key(&reply, "id");
    write_json(&reply, id);
    write_key(&reply, key);
    write_text(&reply, failure);
    write_end(&reply, '}');
}

// Writes the reply to the line. One case that fails must not end the others: say what happened, and go on.
static void answer(void) {
    id = NULL;
    begin_reply();
    switch (setjmp(on_failure)) {
        case FINE: dispatch(); break;
        case NOT_THERE_YET: answer_failure("skip"); break;
        default: answer_failure("error");
    }
}

// Answers until stdin ends.
int main(void) {
    while (read_line()) {
        if (!line || line[strspn(line, " \t\r")] == '\0') continue;
        answer();
        fwrite(reply.data, 1, reply.length, stdout);
        putchar('\n');
        fflush(stdout);  // without it the answer would wait in a buffer, and the harness for the answer
        arena_free_all();
    }
    free(line);
    free(reply.data);
    return EXIT_SUCCESS;
}
