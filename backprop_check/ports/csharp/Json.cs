// JSON: a small reader and writer, since not every .NET has System.Text.Json.
//
// A value is what C# has for it: a Dictionary, a List, a string, a double, a bool or null. An int and any other
// sequence can be written as well.

using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;

sealed class Json
{
    // --------------------------------------------------------------------------------------------
    // What to make of a value
    // --------------------------------------------------------------------------------------------

    public static Dictionary<string, object> Object(object value) =>
        value as Dictionary<string, object> ?? throw Unexpected("an object", value);

    public static List<object> List(object value) => value as List<object> ?? throw Unexpected("a list", value);

    public static string Text(object value) => value as string ?? throw Unexpected("a text", value);

    /// <summary>A number. JSON has no NaN and no infinity, so these come as text, which Parse reads as well.</summary>
    public static double Number(object value)
    {
        if (value is double number) return number;
        if (value is string text) return double.Parse(text, CultureInfo.InvariantCulture);
        throw Unexpected("a number", value);
    }

    public static double[] Numbers(object value) => List(value).Select(Number).ToArray();

    /// <summary>A member of an object that may be missing: null then.</summary>
    public static object Optional(Dictionary<string, object> members, string key) =>
        members.TryGetValue(key, out var value) ? value : null;

    public static double? OptionalNumber(Dictionary<string, object> members, string key)
    {
        var value = Optional(members, key);
        return value == null ? (double?)null : Number(value);
    }

    static Exception Unexpected(string expected, object value) =>
        new FormatException("expected " + expected + ", got " + Write(value));

    // --------------------------------------------------------------------------------------------
    // Writing
    // --------------------------------------------------------------------------------------------

    public static string Write(object value)
    {
        var text = new StringBuilder();
        Write(value, text);
        return text.ToString();
    }

    static void Write(object value, StringBuilder text)
    {
        if (value == null)
        {
            text.Append("null");
        }
        else if (value is double number)
        {
            text.Append(Write(number));
        }
        else if (value is int integer)
        {
            text.Append(integer.ToString(CultureInfo.InvariantCulture));
        }
        else if (value is bool truth)
        {
            text.Append(truth ? "true" : "false");
        }
        else if (value is string word)
        {
            WriteText(word, text);
        }
        else if (value is Dictionary<string, object> members)
        {
            var separator = "{";
            foreach (var member in members)
            {
                text.Append(separator);
                WriteText(member.Key, text);
                text.Append(':');
                Write(member.Value, text);
                separator = ",";
            }
            text.Append(members.Count == 0 ? "{}" : "}");
        }
        else if (value is IEnumerable items)
        {
            var separator = "";
            text.Append('[');
            foreach (var item in items)
            {
                text.Append(separator);
                Write(item, text);
                separator = ",";
            }
            text.Append(']');
        }
        else
        {
            throw new ArgumentException("JSON has nothing for a " + value.GetType().Name);
        }
    }

    static string Write(double number)
    {
        if (double.IsNaN(number)) return "\"NaN\"";
        if (double.IsInfinity(number)) return number > 0.0 ? "\"Infinity\"" : "\"-Infinity\"";
        if (number == 0.0) return 1.0 / number < 0.0 ? "-0.0" : "0.0"; // some versions lose the sign of -0
        return number.ToString("R", CultureInfo.InvariantCulture); // R: read back, it is the same number
    }

    static void WriteText(string word, StringBuilder text)
    {
        text.Append('"');
        foreach (var c in word)
        {
            if (c == '"' || c == '\\') text.Append('\\').Append(c);
            else if (c < ' ') text.Append("\\u").Append(((int)c).ToString("x4"));
            else text.Append(c);
        }
        text.Append('"');
    }

    // --------------------------------------------------------------------------------------------
    // Reading, character by character
    // --------------------------------------------------------------------------------------------

    readonly string text;
    int at;

    Json(string text)
    {
        this.text = text;
    }

    public static object Parse(string text)
    {
        var reader = new Json(text);
        var value = reader.ReadValue();
        reader.SkipSpace();
        if (reader.at < text.Length) throw reader.Error("the end");
        return value;
    }

    object ReadValue()
    {
        switch (Peek())
        {
            case '{': return ReadObject();
            case '[': return ReadList();
            case '"': return ReadText();
            case 't': return ReadWord("true", true);
            case 'f': return ReadWord("false", false);
            case 'n': return ReadWord("null", null);
            default: return ReadNumber();
        }
    }

    Dictionary<string, object> ReadObject()
    {
        var members = new Dictionary<string, object>();
        Expect('{');
        if (Accept('}')) return members;
        do
        {
            var key = ReadText();
            Expect(':');
            members[key] = ReadValue();
        } while (Accept(','));
        Expect('}');
        return members;
    }

    List<object> ReadList()
    {
        var items = new List<object>();
        Expect('[');
        if (Accept(']')) return items;
        do
        {
            items.Add(ReadValue());
        } while (Accept(','));
        Expect(']');
        return items;
    }

    string ReadText()
    {
        var word = new StringBuilder();
        Expect('"');
        while (true)
        {
            var c = Next();
            if (c == '"') return word.ToString();
            word.Append(c == '\\' ? Escaped(Next()) : c);
        }
    }

    char Escaped(char c)
    {
        switch (c)
        {
            case 'n': return '\n';
            case 't': return '\t';
            case 'r': return '\r';
            case 'b': return '\b';
            case 'f': return '\f';
            case 'u': return (char)Convert.ToInt32(new string(new[] { Next(), Next(), Next(), Next() }), 16);
            default: return c; // a quote, a slash or a backslash
        }
    }

    object ReadNumber()
    {
        var start = at;
        while (at < text.Length && "0123456789+-.eE".IndexOf(text[at]) >= 0) at++;
        var digits = text.Substring(start, at - start);
        if (!double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out var number))
        {
            throw Error("a value");
        }
        return number == 0.0 && digits[0] == '-' ? -0.0 : number; // some versions lose the sign of -0
    }

    object ReadWord(string word, object value)
    {
        if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0) throw Error(word);
        at += word.Length;
        return value;
    }

    /// <summary>The next character that is not a space, left where it is.</summary>
    char Peek()
    {
        SkipSpace();
        if (at == text.Length) throw Error("more");
        return text[at];
    }

    char Next()
    {
        if (at == text.Length) throw Error("more");
        return text[at++];
    }

    bool Accept(char c)
    {
        var found = Peek() == c;
        if (found) at++;
        return found;
    }

    void Expect(char c)
    {
        if (!Accept(c)) throw Error(c.ToString());
    }

    void SkipSpace()
    {
        while (at < text.Length && char.IsWhiteSpace(text[at])) at++;
    }

    Exception Error(string expected) => new FormatException("JSON: expected " + expected + " at character " + at);
}
