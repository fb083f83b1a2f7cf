#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

// ------------------------------------------------------------------------------------------------
// Reading
// ------------------------------------------------------------------------------------------------

enum { DEEPEST = 200 };  // each level is a call, and the stack is not endless

// Where in the text we are. Each function goes on from there, and leaves it behind what it has read.
typedef struct {
    const char *begin, *at;
} Reader;

static Json read_value(Reader *reader, int depth);

static _Noreturn void fail_at(const Reader *reader, const char *what) {
    fail(FAILED, "JSON, byte %zu: %s", (size_t)(reader->at - reader->begin), what);
}

static void skip_space(Reader *reader) { reader->at += strspn(reader->at, " \t\r\n"); }

// Goes past the character if it stands next.
static bool take(Reader *reader, char wanted) {
    skip_space(reader);
    if (*reader->at != wanted) return false;
    reader->at++;
    return true;
}

static unsigned read_hex(Reader *reader) {
    unsigned code = 0;
    for (int i = 0; i < 4; i++, reader->at++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *found = *reader->at ? strchr(digits, *reader->at) : NULL;
        if (!found) fail_at(reader, "four hexadecimal digits expected");
        code = code * 16 + (unsigned)(found - digits) % 16;
    }
    return code;
}

// Appends a character as UTF-8, and gives where the next one goes.
static char *put_utf8(char *out, unsigned code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

static const char *read_string(Reader *reader) {
    if (!take(reader, '"')) fail_at(reader, "a string expected");
    const char *stop = reader->at;
    while (*stop && *stop != '"') stop += *stop == '\\' && stop[1] ? 2 : 1;
    if (!*stop) fail_at(reader, "the end of the string is missing");

    char *text = arena_get((size_t)(stop - reader->at) + 1, 1);  // no escape becomes longer than it was
    char *out = text;
    while (reader->at < stop) {
        if (*reader->at != '\\') {
            *out++ = *reader->at++;
            continue;
        }
        const char *letters = "\"\\/bfnrt", *means = "\"\\/\b\f\n\r\t";
        const char letter = reader->at[1], *found = strchr(letters, letter);
        reader->at += 2;
        if (letter == 'u') {
            unsigned code = read_hex(reader);
            if (code >= 0xD800 && code < 0xDC00 && strncmp(reader->at, "\\u", 2) == 0) {  // the first half of a pair
                reader->at += 2;
                code = 0x10000 + (code - 0xD800) * 0x400 + (read_hex(reader) - 0xDC00);
            }
            if (code == 0 || code > 0x10FFFF) fail_at(reader, "a character that no C string can hold");
            out = put_utf8(out, code);
        } else if (found) {
            *out++ = means[found - letters];
        } else {
            fail_at(reader, "unknown escape");
        }
    }
    reader->at = stop + 1;
    return text;
}

static double read_number(Reader *reader) {
    const char *first = reader->at + (*reader->at == '-');
    char *stop;
    const double number = strtod(reader->at, &stop);
    // strtod reads "inf", "nan" and "0x1p4" as well, and JSON has none of them.
    const size_t length = strspn(first, "0123456789.eE+-");
    if (*first < '0' || *first > '9' || stop != first + length) fail_at(reader, "a value expected");
    reader->at = stop;
    return number;
}

// Reads an array or an object, whose closing bracket tells which it is.
static Json read_items(Reader *reader, char closing, int depth) {
    Json json = {.kind = closing == ']' ? JSON_ARRAY : JSON_OBJECT};
    size_t capacity = 0;
    reader->at++;
    if (take(reader, closing)) return json;
    do {
        if (json.count == capacity) {  // full: move to twice the room
            capacity = capacity ? 2 * capacity : 4;
            const Json *items = json.items;
            const char **keys = json.keys;
            json.items = arena_get(capacity, sizeof *json.items);
            if (json.count > 0) memcpy(json.items, items, json.count * sizeof *items);
            if (json.kind == JSON_OBJECT) {
                json.keys = arena_get(capacity, sizeof *json.keys);
                if (json.count > 0) memcpy(json.keys, keys, json.count * sizeof *keys);
            }
        }
        if (json.kind == JSON_OBJECT) {
            json.keys[json.count] = read_string(reader);
            if (!take(reader, ':')) fail_at(reader, "':' expected");
        }
        json.items[json.count++] = read_value(reader, depth + 1);
    } while (take(reader, ','));
    if (!take(reader, closing)) fail_at(reader, "',' or the closing bracket expected");
    return json;
}

static bool read_word(Reader *reader, const char *word) {
    if (strncmp(reader->at, word, strlen(word)) != 0) return false;
    reader->at += strlen(word);
    return true;
}

static Json read_value(Reader *reader, int depth) {
    if (depth > DEEPEST) fail_at(reader, "too deep");
    skip_space(reader);
    if (*reader->at == '{') return read_items(reader, '}', depth);
    if (*reader->at == '[') return read_items(reader, ']', depth);
    if (*reader->at == '"') return (Json){.kind = JSON_STRING, .text = read_string(reader)};
    if (read_word(reader, "null")) return (Json){.kind = JSON_NULL};
    if (read_word(reader, "true")) return (Json){.kind = JSON_BOOL, .truth = true};
    if (read_word(reader, "false")) return (Json){.kind = JSON_BOOL, .truth = false};
    return (Json){.kind = JSON_NUMBER, .number = read_number(reader)};
}

Json *json_read(const char *text) {
    Reader reader = {.begin = text, .at = text};
    Json *json = arena_get(1, sizeof *json);
    *json = read_value(&reader, 0);
    skip_space(&reader);
    if (*reader.at) fail_at(&reader, "nothing more expected");
    return json;
}

const Json *json_find(const Json *object, const char *key) {
    if (object->kind != JSON_OBJECT) fail(FAILED, "an object expected, where %s is looked for", key);
    for (size_t i = 0; i < object->count; i++) {
        if (strcmp(object->keys[i], key) == 0) {
            return object->items[i].kind == JSON_NULL ? NULL : &object->items[i];
        }
    }
    return NULL;
}

static const Json *find_kind(const Json *object, const char *key, JsonKind kind, const char *what) {
    const Json *found = json_find(object, key);
    if (!found || found->kind != kind) fail(FAILED, "%s: %s expected", key, what);
    return found;
}

const Json *json_array(const Json *object, const char *key) { return find_kind(object, key, JSON_ARRAY, "an array"); }

const Json *json_object(const Json *object, const char *key) {
    return find_kind(object, key, JSON_OBJECT, "an object");
}

const char *json_text(const Json *object, const char *key) {
    return find_kind(object, key, JSON_STRING, "a text")->text;
}

double json_number(const Json *value) {
    if (value && value->kind == JSON_NUMBER) return value->number;
    if (value && value->kind == JSON_STRING) {
        if (strcmp(value->text, "NaN") == 0) return NAN;
        if (strcmp(value->text, "Infinity") == 0) return INFINITY;
        if (strcmp(value->text, "-Infinity") == 0) return -INFINITY;
    }
    fail(FAILED, "a number expected");
}

// ------------------------------------------------------------------------------------------------
// Writing
// ------------------------------------------------------------------------------------------------

static void put(Writer *writer, const char *bytes, size_t count) {
    if (writer->capacity - writer->length < count) {
        const size_t capacity = 2 * (writer->capacity + count);
        char *data = realloc(writer->data, capacity);
        if (!data) exit(EXIT_FAILURE);  // not fail: the words for it would need room, too
        writer->data = data;
        writer->capacity = capacity;
    }
    memcpy(writer->data + writer->length, bytes, count);
    writer->length += count;
}

// Every value and every key begins here.
static void put_comma(Writer *writer) {
    if (writer->comma) put(writer, ",", 1);
    writer->comma = true;
}

void write_begin(Writer *writer, char bracket) {
    put_comma(writer);
    put(writer, &bracket, 1);
    writer->comma = false;
}

void write_end(Writer *writer, char bracket) {
    put(writer, &bracket, 1);
    writer->comma = true;
}

void write_key(Writer *writer, const char *key) {
    write_text(writer, key);
    put(writer, ":", 1);
    writer->comma = false;
}

void write_text(Writer *writer, const char *text) {
    put_comma(writer);
    put(writer, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            put(writer, "\\", 1);
            put(writer, text, 1);
        } else if ((unsigned char)*text < 0x20) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*text);
            put(writer, escape, 6);
        } else {
            put(writer, text, 1);
        }
    }
    put(writer, "\"", 1);
}

void write_number(Writer *writer, double number) {
    // JSON has no numbers for the first three, so they go as text. "-0" would be read as the integer 0 by many.
    char digits[32];
    if (isnan(number)) {
        strcpy(digits, "\"NaN\"");
    } else if (isinf(number)) {
        strcpy(digits, number > 0.0 ? "\"Infinity\"" : "\"-Infinity\"");
    } else if (number == 0.0 && signbit(number)) {
        strcpy(digits, "-0.0");
    } else {
        // 17 digits always give the same number back. Where fewer do, they are easier to read.
        for (int precision = 15; precision <= 17; precision++) {
            snprintf(digits, sizeof digits, "%.*g", precision, number);
            if (strtod(digits, NULL) == number) break;
        }
    }
    put_comma(writer);
    put(writer, digits, strlen(digits));
}

void write_numbers(Writer *writer, const double *numbers, size_t count) {
    write_begin(writer, '[');
    for (size_t i = 0; i < count; i++) write_number(writer, numbers[i]);
    write_end(writer, ']');
}

void write_bool(Writer *writer, bool truth) {
    put_comma(writer);
    put(writer, truth ? "true" : "false", truth ? 4 : 5);
}

void write_json(Writer *writer, const Json *value) {
    switch (value ? value->kind : JSON_NULL) {
        case JSON_NULL:
            put_comma(writer);
            put(writer, "null", 4);
            break;
        case JSON_BOOL:
            write_bool(writer, value->truth);
            break;
        case JSON_NUMBER:
            write_number(writer, value->number);
            break;
        case JSON_STRING:
            write_text(writer, value->text);
            break;
        case JSON_ARRAY:
        case JSON_OBJECT:
            write_begin(writer, value->kind == JSON_ARRAY ? '[' : '{');
            for (size_t i = 0; i < value->count; i++) {
                if (value->kind == JSON_OBJECT) write_key(writer, value->keys[i]);
                write_json(writer, &value->items[i]);
            }
            write_end(writer, value->kind == JSON_ARRAY ? ']' : '}');
            break;
    }
}
