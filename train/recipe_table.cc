// SPDX-License-Identifier: Apache-2.0
#include "train/recipe_table.h"

#include "cpl/error.h"

namespace cpl::train {
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
