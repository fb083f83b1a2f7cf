// JSON, which C++'s standard library does not have: as much of it as a port needs.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

// A JSON value. Build one from what C++ has, as in `Json::Object{{"loss", 0.5}, {"z", numbers}}`, and read one with
// `value["loss"].number()`. Each of the readers throws std::runtime_error where the value is something else.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;

  Json() = default;  // null
  Json(bool value) : value_(value) {}
  Json(int value) : value_(static_cast<double>(value)) {}
  Json(double value) : value_(value) {}
  Json(const char* text) : value_(std::string(text)) {}
  Json(std::string text) : value_(std::move(text)) {}
  Json(Array array) : value_(std::move(array)) {}
  Json(Object object) : value_(std::move(object)) {}
  Json(const std::vector<double>& numbers) : value_(Array(numbers.begin(), numbers.end())) {}

  static Json parse(std::string_view text);
  std::string dump() const;  // in one line

  double number() const;  // also of the strings "NaN", "Infinity" and "-Infinity"
  const std::string& text() const;
  const Array& array() const;
  const Object& object() const;

  const Json* find(std::string_view key) const;      // nullptr where the object has no such key, or null there
  const Json& operator[](std::string_view key) const;  // throws where the object has no such key
  bool truthy() const;                               // neither null nor false nor 0

 private:
  void write(std::string& out) const;

  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value_ = nullptr;
};
