#include "json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>

namespace {

// ------------------------------------------------------------------------------------------------
// Reading
// ------------------------------------------------------------------------------------------------

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Json whole() {
    Json value = read(0);
    skip_space();
    if (at_ < text_.size()) fail("nothing more expected");
    return value;
  }

 private:
  static constexpr int kDeepest = 200;  // each level is a call, and the stack is not endless

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error("JSON, byte " + std::to_string(at_) + ": " + what);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n') ++at_;
  }

  // Goes past the character if it stands next.
  bool take(char wanted) {
    skip_space();
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  void expect(char wanted) {
    if (!take(wanted)) fail(std::string(1, wanted) + " expected");
  }

  Json read(int depth) {
    if (depth > kDeepest) fail("too deep");
    skip_space();
    switch (peek()) {
      case '{': return read_object(depth);
      case '[': return read_array(depth);
      case '"': return read_string();
      case 't': return read_word("true", true);
      case 'f': return read_word("false", false);
      case 'n': return read_word("null", Json());
      default: return read_number();
    }
  }

  Json read_word(std::string_view word, Json value) {
    if (text_.substr(at_, word.size()) != word) fail("a value expected");
    at_ += word.size();
    return value;
  }

  Json read_number() {
    const std::size_t end = std::min(text_.find_first_not_of("0123456789.eE+-", at_), text_.size());
    const std::string digits(text_.substr(at_, end - at_));
    char* stop = nullptr;
    const double number = std::strtod(digits.c_str(), &stop);
    if (digits.empty() || *stop != '\0') fail("a value expected");
    at_ = end;
    return number;
  }

  unsigned read_hex() {
    unsigned code = 0;
    const auto four = text_.substr(std::min(at_, text_.size()), 4);
    const auto [stop, error] = std::from_chars(four.data(), four.data() + four.size(), code, 16);
    if (four.size() < 4 || error != std::errc() || stop != four.data() + 4) fail("four hexadecimal digits expected");
    at_ += 4;
    return code;
  }

  static void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | code >> 18);
      out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
      out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  std::string read_string() {
    std::string out;
    for (++at_; peek() != '"'; ++at_) {
      if (at_ >= text_.size()) fail("the end of a string is missing");
      if (peek() != '\\') {
        out += peek();
        continue;
      }
      ++at_;
      switch (peek()) {
        case '"': case '\\': case '/': out += peek(); break;
        case 'b': out += '\b'; break;
        case 'f': out += '\f'; break;
        case 'n': out += '\n'; break;
        case 'r': out += '\r'; break;
        case 't': out += '\t'; break;
        case 'u': {
          ++at_;
          unsigned code = read_hex();
          if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {  // the first half of a pair
            at_ += 2;
            code = 0x10000 + (code - 0xD800) * 0x400 + (read_hex() - 0xDC00);
          }
          append_utf8(out, code);
          --at_;  // the loop goes on behind it
          break;
        }
        default: fail("unknown escape");
      }
    }
    ++at_;
    return out;
  }

  Json read_array(int depth) {
    Json::Array array;
    expect('[');
    if (take(']')) return array;
    do {
      array.push_back(read(depth + 1));
    } while (take(','));
    expect(']');
    return array;
  }

  Json read_object(int depth) {
    Json::Object object;
    expect('{');
    if (take('}')) return object;
    do {
      skip_space();
      if (peek() != '"') fail("a key expected");
      std::string key = read_string();
      expect(':');
      object.emplace_back(std::move(key), read(depth + 1));
    } while (take(','));
    expect('}');
    return object;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// ------------------------------------------------------------------------------------------------
// Writing
// ------------------------------------------------------------------------------------------------

void write_number(std::string& out, double number) {
  // JSON has no numbers for these three, so they go as text.
  if (std::isnan(number)) {
    out += "\"NaN\"";
  } else if (std::isinf(number)) {
    out += number > 0.0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else if (number == 0.0 && std::signbit(number)) {
    out += "-0.0";  // to_chars would write -0, and many a reader makes the integer 0 of that
  } else {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;  // the fewest that give it back
    out.append(digits, end);
  }
}

void write_string(std::string& out, const std::string& text) {
  out += '"';
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      out += '\\';
      out += letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(letter));
      out += escape;
    } else {
      out += letter;
    }
  }
  out += '"';
}

}  // namespace

Json Json::parse(std::string_view text) { return Reader(text).whole(); }

std::string Json::dump() const {
  std::string out;
  write(out);
  return out;
}

void Json::write(std::string& out) const {
  if (const auto* number = std::get_if<double>(&value_)) {
    write_number(out, *number);
  } else if (const auto* text = std::get_if<std::string>(&value_)) {
    write_string(out, *text);
  } else if (const auto* flag = std::get_if<bool>(&value_)) {
    out += *flag ? "true" : "false";
  } else if (const auto* array = std::get_if<Array>(&value_)) {
    const char* mark = "[";
    for (const Json& item : *array) {
      out += std::exchange(mark, ",");
      item.write(out);
    }
    out += array->empty() ? "[]" : "]";
  } else if (const auto* object = std::get_if<Object>(&value_)) {
    const char* mark = "{";
    for (const auto& [key, item] : *object) {
      out += std::exchange(mark, ",");
      write_string(out, key);
      out += ':';
      item.write(out);
    }
    out += object->empty() ? "{}" : "}";
  } else {
    out += "null";
  }
}

double Json::number() const {
  if (const auto* number = std::get_if<double>(&value_)) return *number;
  if (const auto* text = std::get_if<std::string>(&value_)) {
    if (*text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (*text == "Infinity") return std::numeric_limits<double>::infinity();
    if (*text == "-Infinity") return -std::numeric_limits<double>::infinity();
  }
  throw std::runtime_error("a number expected, not " + dump());
}

const std::string& Json::text() const {
  if (const auto* text = std::get_if<std::string>(&value_)) return *text;
  throw std::runtime_error("a text expected, not " + dump());
}

const Json::Array& Json::array() const {
  if (const auto* array = std::get_if<Array>(&value_)) return *array;
  throw std::runtime_error("an array expected, not " + dump());
}

const Json::Object& Json::object() const {
  if (const auto* object = std::get_if<Object>(&value_)) return *object;
  throw std::runtime_error("an object expected, not " + dump());
}

const Json* Json::find(std::string_view key) const {
  for (const auto& [name, value] : object()) {
    if (name == key) return std::holds_alternative<std::nullptr_t>(value.value_) ? nullptr : &value;
  }
  return nullptr;
}

const Json& Json::operator[](std::string_view key) const {
  if (const Json* found = find(key)) return *found;
  throw std::runtime_error("there is no " + std::string(key));
}

bool Json::truthy() const {
  if (const auto* flag = std::get_if<bool>(&value_)) return *flag;
  if (const auto* number = std::get_if<double>(&value_)) return *number != 0.0;
  return !std::holds_alternative<std::nullptr_t>(value_);
}
