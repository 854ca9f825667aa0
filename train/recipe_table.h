// SPDX-License-Identifier: Apache-2.0
//
// TOML tables of a recipe, read strictly: each key has a type and a range, and a key that nobody
// reads is an error. All of it throws Error(kInvalidArgument or kBadFormat) that names file and
// key. Torch-free.
#pragma once

#include <toml++/toml.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "cpl/error.h"
#include "train/recipe.h"

namespace cpl::train {

// Reads the keys of one table, and refuses those that nobody asked for. The recipe outlives it.
class Table {
 public:
  Table(const Recipe& recipe, const toml::table* table, std::string name)
      : recipe_path_(recipe.path), table_(table), name_(std::move(name)) {}

  [[noreturn]] void Fail(const std::string& what) const {
    throw Error(ErrorCode::kInvalidArgument, recipe_path_ + ": " + what);
  }

  const toml::node* Node(const char* key) {
    known_.push_back(key);
    return table_ ? table_->get(key) : nullptr;
  }

  std::string Path(const char* key) const { return name_.empty() ? key : name_ + "." + key; }

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

  void Read(const char* key, bool& value) {
    const toml::node* node = Node(key);
    if (!node) return;
    if (!node->is_boolean()) Fail("'" + Path(key) + "' must be true or false");
    value = *node->value<bool>();
  }

  void Read(const char* key, std::string& value) {
    const toml::node* node = Node(key);
    if (!node) return;
    if (!node->is_string()) Fail("'" + Path(key) + "' must be a string");
    value = *node->value<std::string>();
  }

  // A string out of `known`.
  void ReadOneOf(const char* key, std::string& value, const std::vector<std::string>& known);

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

  // Call after the last Read. Throws Error for a key that nobody asked for, naming the nearest.
  void Done() const;

 private:
  const std::string& recipe_path_;
  const toml::table* table_;
  std::string name_;
  std::vector<std::string> known_;
};

// Of a file's text; a syntax error is named with its line.
toml::table ParseToml(const std::string& text, const std::string& path);

// Puts "a.b=value" into the table, making tables on the way. [[stage]] is addressed as stage.NAME.
void OverrideKey(toml::table& root, const std::string& assignment);

// [data] of a recipe whose prompts are known; also checks that each of these can be had.
void ReadData(Recipe& recipe, const toml::table* data);

}  // namespace cpl::train
