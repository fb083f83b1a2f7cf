import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON, which Java's standard library does not have.
 *
 * A value is what Java has for it: a Map, a List, a String, a Double, a Boolean or null. An Integer and a double[] can
 * be written as well.
 */
final class Json {
    private final String text;
    private int at = 0;

    private Json(String text) {
        this.text = text;
    }

    // --------------------------------------------------------------------------------------------
    // What to make of a value
    // --------------------------------------------------------------------------------------------

    /** An object with these members: key, value, key, value, ... */
    static Map<String, Object> of(Object... members) {
        Map<String, Object> object = new LinkedHashMap<>(); // keeps the order
        for (int i = 0; i < members.length; i += 2) {
            object.put((String) members[i], members[i + 1]);
        }
        return object;
    }

    @SuppressWarnings("unchecked") // the keys of what parse gives are texts
    static Map<String, Object> object(Object value) {
        if (value instanceof Map<?, ?> map) return (Map<String, Object>) map;
        throw new IllegalArgumentException("expected an object, got " + write(value));
    }

    static List<?> list(Object value) {
        if (value instanceof List<?> list) return list;
        throw new IllegalArgumentException("expected a list, got " + write(value));
    }

    static String text(Object value) {
        if (value instanceof String string) return string;
        throw new IllegalArgumentException("expected a text, got " + write(value));
    }

    /** A number. JSON has no NaN and no infinity, so these come as text, which parseDouble reads as well. */
    static double number(Object value) {
        if (value instanceof Double number) return number;
        if (value instanceof String string) return Double.parseDouble(string);
        throw new IllegalArgumentException("expected a number, got " + write(value));
    }

    static double[] numbers(Object value) {
        return list(value).stream().mapToDouble(Json::number).toArray();
    }

    /** A number that may be missing. */
    static Double optional(Object value) {
        return value == null ? null : (Double) number(value);
    }

    // --------------------------------------------------------------------------------------------
    // Writing
    // --------------------------------------------------------------------------------------------

    static String write(Object value) {
        var out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof Double number) {
            // toString gives enough digits to be read back as the same number, and -0.0 its sign and point.
            out.append(Double.isFinite(number) ? number.toString() : '"' + number.toString() + '"');
        } else if (value instanceof String string) {
            writeText(string, out);
        } else if (value instanceof double[] numbers) {
            String separator = "[";
            for (double number : numbers) {
                out.append(separator);
                write(number, out);
                separator = ",";
            }
            out.append(numbers.length == 0 ? "[]" : "]");
        } else if (value instanceof List<?> list) {
            String separator = "[";
            for (Object item : list) {
                out.append(separator);
                write(item, out);
                separator = ",";
            }
            out.append(list.isEmpty() ? "[]" : "]");
        } else if (value instanceof Map<?, ?> map) {
            String separator = "{";
            for (var member : map.entrySet()) {
                out.append(separator);
                writeText((String) member.getKey(), out);
                out.append(':');
                write(member.getValue(), out);
                separator = ",";
            }
            out.append(map.isEmpty() ? "{}" : "}");
        } else {
            out.append(value); // an Integer, a Boolean, null
        }
    }

    private static void writeText(String string, StringBuilder out) {
        out.append('"');
        for (char c : string.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        out.append('"');
    }

    // --------------------------------------------------------------------------------------------
    // Reading, character by character
    // --------------------------------------------------------------------------------------------

    static Object parse(String text) {
        var reader = new Json(text);
        Object value = reader.readValue();
        reader.skipSpace();
        if (reader.at < text.length()) throw reader.error("the end");
        return value;
    }

    private Object readValue() {
        return switch (peek()) {
            case '{' -> readObject();
            case '[' -> readList();
            case '"' -> readText();
            case 't' -> readWord("true", true);
            case 'f' -> readWord("false", false);
            case 'n' -> readWord("null", null);
            default -> readNumber();
        };
    }

    private Map<String, Object> readObject() {
        Map<String, Object> members = new LinkedHashMap<>();
        expect('{');
        if (accept('}')) return members;
        do {
            String key = readText();
            expect(':');
            members.put(key, readValue());
        } while (accept(','));
        expect('}');
        return members;
    }

    private List<Object> readList() {
        List<Object> items = new ArrayList<>();
        expect('[');
        if (accept(']')) return items;
        do {
            items.add(readValue());
        } while (accept(','));
        expect(']');
        return items;
    }

    private String readText() {
        var string = new StringBuilder();
        expect('"');
        while (true) {
            char c = next();
            if (c == '"') return string.toString();
            string.append(c == '\\' ? escaped(next()) : c);
        }
    }

    private char escaped(char c) {
        return switch (c) {
            case 'n' -> '\n';
            case 't' -> '\t';
            case 'r' -> '\r';
            case 'b' -> '\b';
            case 'f' -> '\f';
            case 'u' -> (char) Integer.parseInt("" + next() + next() + next() + next(), 16);
            default -> c; // a quote, a slash or a backslash
        };
    }

    private Double readNumber() {
        int start = at;
        while (at < text.length() && "0123456789+-.eE".indexOf(text.charAt(at)) >= 0) at++;
        if (at == start) throw error("a value");
        return Double.valueOf(text.substring(start, at));
    }

    private Object readWord(String word, Object value) {
        if (!text.startsWith(word, at)) throw error(word);
        at += word.length();
        return value;
    }

    /** The next character that is not a space, left where it is. */
    private char peek() {
        skipSpace();
        if (at == text.length()) throw error("more");
        return text.charAt(at);
    }

    private char next() {
        if (at == text.length()) throw error("more");
        return text.charAt(at++);
    }

    private boolean accept(char c) {
        boolean found = peek() == c;
        if (found) at++;
        return found;
    }

    private void expect(char c) {
        if (!accept(c)) throw error(String.valueOf(c));
    }

    private void skipSpace() {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++;
    }

    private IllegalArgumentException error(String expected) {
        return new IllegalArgumentException("JSON: expected " + expected + " at character " + at);
    }
}
