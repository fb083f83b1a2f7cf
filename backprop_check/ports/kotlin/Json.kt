/**
 * JSON, which Kotlin's standard library does not have.
 *
 * A value is what Kotlin has for it: a Map, a List, a String, a Double, a Boolean or null. An Int and a DoubleArray can
 * be written as well.
 */

typealias JsonObject = Map<String, Any?>

// ------------------------------------------------------------------------------------------------
// What to make of a value
// ------------------------------------------------------------------------------------------------

@Suppress("UNCHECKED_CAST") // the keys of what parseJson gives are texts
fun Any?.asObject(): JsonObject =
    this as? JsonObject ?: throw IllegalArgumentException("expected an object, got ${toJson(this)}")

fun Any?.asList(): List<Any?> =
    this as? List<Any?> ?: throw IllegalArgumentException("expected a list, got ${toJson(this)}")

fun Any?.asText(): String =
    this as? String ?: throw IllegalArgumentException("expected a text, got ${toJson(this)}")

/** JSON has no NaN and no infinity, so these come as text, which toDouble reads as well. */
fun Any?.asNumber(): Double = when (this) {
    is Double -> this
    is String -> toDouble()
    else -> throw IllegalArgumentException("expected a number, got ${toJson(this)}")
}

fun Any?.asNumbers(): DoubleArray = asList().map { it.asNumber() }.toDoubleArray()

// ------------------------------------------------------------------------------------------------
// Writing
// ------------------------------------------------------------------------------------------------

fun toJson(value: Any?): String = StringBuilder().apply { write(value) }.toString()

private fun StringBuilder.write(value: Any?) {
    when (value) {
        // toString gives enough digits to be read back as the same number, and -0.0 its sign and point.
        is Double -> append(if (value.isNaN() || value.isInfinite()) "\"$value\"" else "$value")
        is String -> writeText(value)
        is DoubleArray -> write(value.toList())
        is List<*> -> {
            append('[')
            value.forEachIndexed { i, item ->
                if (i > 0) append(',')
                write(item)
            }
            append(']')
        }
        is Map<*, *> -> {
            append('{')
            value.entries.forEachIndexed { i, (key, member) ->
                if (i > 0) append(',')
                writeText(key as String)
                append(':')
                write(member)
            }
            append('}')
        }
        else -> append(value) // an Int, a Boolean, null
    }
}

private fun StringBuilder.writeText(text: String) {
    append('"')
    for (c in text) {
        when {
            c == '"' || c == '\\' -> append('\\').append(c)
            c < ' ' -> append(String.format("\\u%04x", c.hashCode()))
            else -> append(c)
        }
    }
    append('"')
}

// ------------------------------------------------------------------------------------------------
// Reading, character by character
// ------------------------------------------------------------------------------------------------

fun parseJson(text: String): Any? = JsonReader(text).readAll()

private class JsonReader(private val text: String) {
    private var at = 0

    fun readAll(): Any? {
        val value = readValue()
        skipSpace()
        if (at < text.length) throw error("the end")
        return value
    }

    private fun readValue(): Any? = when (peek()) {
        '{' -> readObject()
        '[' -> readList()
        '"' -> readText()
        't' -> readWord("true", true)
        'f' -> readWord("false", false)
        'n' -> readWord("null", null)
        else -> readNumber()
    }

    private fun readObject(): JsonObject {
        val members = linkedMapOf<String, Any?>() // keeps the order
        expect('{')
        if (accept('}')) return members
        do {
            val key = readText()
            expect(':')
            members[key] = readValue()
        } while (accept(','))
        expect('}')
        return members
    }

    private fun readList(): List<Any?> {
        val items = mutableListOf<Any?>()
        expect('[')
        if (accept(']')) return items
        do {
            items.add(readValue())
        } while (accept(','))
        expect(']')
        return items
    }

    private fun readText(): String {
        val string = StringBuilder()
        expect('"')
        while (true) {
            val c = next()
            if (c == '"') return string.toString()
            string.append(if (c == '\\') escaped(next()) else c)
        }
    }

    private fun escaped(c: Char): Char = when (c) {
        'n' -> '\n'
        't' -> '\t'
        'r' -> '\r'
        'b' -> '\b'
        'f' -> '\u000c'
        'u' -> "${next()}${next()}${next()}${next()}".toInt(16).toChar()
        else -> c // a quote, a slash or a backslash
    }

    private fun readNumber(): Double {
        val start = at
        while (at < text.length && text[at] in "0123456789+-.eE") at++
        if (at == start) throw error("a value")
        return text.substring(start, at).toDouble()
    }

    private fun readWord(word: String, value: Any?): Any? {
        if (!text.startsWith(word, at)) throw error(word)
        at += word.length
        return value
    }

    /** The next character that is not a space, left where it is. */
    private fun peek(): Char {
        skipSpace()
        if (at == text.length) throw error("more")
        return text[at]
    }

    private fun next(): Char {
        if (at == text.length) throw error("more")
        return text[at++]
    }

    private fun accept(c: Char): Boolean {
        val found = peek() == c
        if (found) at++
        return found
    }

    private fun expect(c: Char) {
        if (!accept(c)) throw error("$c")
    }

    private fun skipSpace() {
        while (at < text.length && text[at].isWhitespace()) at++
    }

    private fun error(expected: String) = IllegalArgumentException("JSON: expected $expected at character $at")
}
