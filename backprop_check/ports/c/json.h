// JSON, which C's standard library does not have: as much of it as a port needs.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

// ---- Reading. All values live in the arena, and whatever does not fit fails (see arena.h).

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonKind;

typedef struct Json {
    JsonKind kind;
    union {
        bool truth;
        double number;
        const char *text;
        struct {
            size_t count;
            struct Json *items;  // the values of an array or an object
            const char **keys;   // the keys of an object, in the same order
        };
    };
} Json;

Json *json_read(const char *text);

// Gives what the object has under that key; NULL where it has nothing, or null.
const Json *json_find(const Json *object, const char *key);

// The same, but it fails where there is nothing, or something of another kind.
const Json *json_array(const Json *object, const char *key);
const Json *json_object(const Json *object, const char *key);
const char *json_text(const Json *object, const char *key);

// Gives the number; "NaN", "Infinity" and "-Infinity" are numbers too.
double json_number(const Json *value);

// ---- Writing, piece by piece; the commas come by themselves.

typedef struct {
    char *data;
    size_t length, capacity;
    bool comma;  // whether one is due before the next value
} Writer;

void write_begin(Writer *writer, char bracket);  // '{' or '['
void write_end(Writer *writer, char bracket);    // '}' or ']'
void write_key(Writer *writer, const char *key);
void write_text(Writer *writer, const char *text);
void write_number(Writer *writer, double number);
void write_numbers(Writer *writer, const double *numbers, size_t count);
void write_bool(Writer *writer, bool truth);
void write_json(Writer *writer, const Json *value);  // NULL is null

#endif
