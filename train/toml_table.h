// SPDX-License-Identifier: Apache-2.0
//
// Reads the keys of a TOML table into variables, and refuses what nobody asked for. Errors are
// cpl::Error with one sentence that names the file and the key. Torch-free.
#pragma once

#include <toml++/toml.h>

#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cpl::train {

// Throws Error(kBadFormat) with file and line when `text` is no TOML.
toml::table ParseToml(const std::string& text, const std::string& path);

// One table of a file. A key that the table lacks leaves its variable as it is. Use one object for
// a table, from one thread, and call Done() last: it throws for keys that no call asked for.
class TomlTable {
 public:
  // `file` and `name` are what messages say; the name of the root table is empty. `table` may be
  // null, which reads as empty, and must outlive this object.
  TomlTable(std::string file, const toml::table* table, std::string name)
      : file_(std::move(file)), table_(table), name_(std::move(name)) {}

  // Throws Error(kInvalidArgument) "FILE: what".
  [[noreturn]] void Fail(const std::string& what) const;

  // The node, or null. The key counts as known from now on.
  const toml::node* Node(const char* key);

  // The dotted name of a key.
  std::string Path(const char* key) const { return name_.empty() ? key : name_ + "." + key; }

  void Read(const char* key, std::string& value);
  void Read(const char* key, bool& value);

  // A string out of `known`.
  void ReadOneOf(const char* key, std::string& value, const std::vector<std::string>& known);

  // A number in [low, high].
  template <typename Number>
  void Read(const char* key, Number& value, double low, double high) {
    const toml::node* node = Node(key);
    if (!node) return;
    const auto number = node->value<double>();
    if (!number || (std::is_integral_v<Number> && !node->is_integer())) {
      Fail("'" + Path(key) + "' must be " +
           (std::is_integral_v<Number> ? "an integer" : "a number"));
    }
    if (!(*number >= low && *number <= high)) {
      std::ostringstream range;
      range << low << ".." << high;
      Fail("'" + Path(key) + "' must lie in " + range.str());
    }
    value = static_cast<Number>(*number);
  }

  template <typename Value>
  void Read(const char* key, std::vector<Value>& values) {
    const toml::node* node = Node(key);
    if (!node) return;
    const toml::array* array = node->as_array();
    if (!array) Fail("'" + Path(key) + "' must be a list");
    values.clear();
    for (const toml::node& entry : *array) {
      const auto value =
          entry.value_exact<std::conditional_t<std::is_integral_v<Value>, std::int64_t, Value>>();
      if (!value) Fail("'" + Path(key) + "' holds an entry of the wrong type");
      values.push_back(static_cast<Value>(*value));
    }
  }

  // Throws Error(kInvalidArgument) for a key that was not asked for, with the nearest known one.
  void Done() const;

 private:
  std::string file_;
  const toml::table* table_;
  std::string name_;
  std::vector<std::string> known_;
};

}  // namespace cpl::train
