// SPDX-License-Identifier: Apache-2.0
#include "train/toml_table.h"

#include <algorithm>
#include <string_view>

#include "cpl/error.h"

namespace cpl::train {
namespace {

int EditDistance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

}  // namespace

toml::table ParseToml(const std::string& text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    std::ostringstream message;
    message << path << ": line " << error.source().begin.line << ": " << error.description();
    throw Error(ErrorCode::kBadFormat, message.str());
  }
}

void TomlTable::Fail(const std::string& what) const {
  throw Error(ErrorCode::kInvalidArgument, file_ + ": " + what);
}

const toml::node* TomlTable::Node(const char* key) {
  known_.push_back(key);
  return table_ ? table_->get(key) : nullptr;
}

void TomlTable::Read(const char* key, std::string& value) {
  const toml::node* node = Node(key);
  if (!node) return;
  if (!node->is_string()) Fail("'" + Path(key) + "' must be a string");
  value = *node->value<std::string>();
}

void TomlTable::Read(const char* key, bool& value) {
  const toml::node* node = Node(key);
  if (!node) return;
  if (!node->is_boolean()) Fail("'" + Path(key) + "' must be true or false");
  value = *node->value<bool>();
}

void TomlTable::ReadOneOf(const char* key, std::string& value,
                          const std::vector<std::string>& known) {
  Read(key, value);
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string names;
  for (std::size_t i = 0; i < known.size(); ++i) {
    names += (i == 0 ? "" : i + 1 < known.size() ? ", " : " or ") + known[i];
  }
  Fail("'" + Path(key) + "' must be " + names + ", not '" + value + "'");
}

void TomlTable::Done() const {
  if (!table_) return;
  for (const auto& [key, node] : *table_) {
    const std::string name(key.str());
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const auto nearest = std::min_element(known_.begin(), known_.end(),
                                          [&](const std::string& a, const std::string& b) {
                                            return EditDistance(a, name) < EditDistance(b, name);
                                          });
    Fail("unknown key '" + Path(name.c_str()) + "'; the nearest known one is '" +
         Path(nearest->c_str()) + "'");
  }
}

}  // namespace cpl::train
