// SPDX-License-Identifier: Apache-2.0
#include "train/recipe_table.h"

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

void Table::ReadOneOf(const char* key, std::string& value, const std::vector<std::string>& known) {
  Read(key, value);
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string names;
  for (std::size_t i = 0; i < known.size(); ++i) {
    names += (i == 0 ? "" : i + 1 < known.size() ? ", " : " or ") + known[i];
  }
  Fail("'" + Path(key) + "' must be " + names + ", not '" + value + "'");
}

void Table::Done() const {
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

toml::table ParseToml(const std::string& text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    std::ostringstream message;
    message << path << ": line " << error.source().begin.line << ": " << error.description();
    throw Error(ErrorCode::kBadFormat, message.str());
  }
}

void OverrideKey(toml::table& root, const std::string& assignment) {
  const auto equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorCode::kInvalidArgument, "--set " + assignment + ": expected key=value");
  }
  const std::string key = assignment.substr(0, equals);
  const std::string text = assignment.substr(equals + 1);
  toml::table value;
  try {
    value = toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    value = toml::table{{"value", text}};
  }
  toml::table* table = &root;
  std::size_t begin = 0;
  for (auto dot = key.find('.'); dot != std::string::npos; dot = key.find('.', begin)) {
    const std::string part = key.substr(begin, dot - begin);
    begin = dot + 1;
    toml::node* node = table->get(part);
    if (!node) node = &table->insert(part, toml::table{}).first->second;
    if (toml::array* array = node->as_array()) {
      dot = key.find('.', begin);
      const std::string wanted = key.substr(begin, dot == std::string::npos ? dot : dot - begin);
      toml::table* found = nullptr;
      for (toml::node& entry : *array) {
        toml::table* candidate = entry.as_table();
        if (candidate && (*candidate)["name"].value_or(std::string()) == wanted) found = candidate;
      }
      if (!found || dot == std::string::npos) {
        throw Error(ErrorCode::kInvalidArgument,
                    "--set " + assignment + ": no " + part + " is named '" + wanted + "'");
      }
      begin = dot + 1;
      table = found;
      continue;
    }
    table = node->as_table();
    if (!table) {
      throw Error(ErrorCode::kInvalidArgument,
                  "--set " + assignment + ": '" + part + "' is no table");
    }
  }
  table->insert_or_assign(key.substr(begin), *value.get("value"));
}

}  // namespace cpl::train
