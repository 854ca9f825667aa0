// SPDX-License-Identifier: Apache-2.0
//
// TOML tables of a recipe (train/toml_table.h), and --set. Torch-free.
#pragma once

#include <string>
#include <utility>

#include "train/recipe.h"
#include "train/toml_table.h"

namespace cpl::train {

// A table of a recipe's file. The recipe may go before it.
class Table : public TomlTable {
 public:
  Table(const Recipe& recipe, const toml::table* table, std::string name)
      : TomlTable(recipe.path, table, std::move(name)) {}
};

// Puts "a.b=value" into the table, making tables on the way. [[stage]] is addressed as stage.NAME.
void OverrideKey(toml::table& root, const std::string& assignment);

// [data] of a recipe whose prompts are known; also checks that each of these can be had.
void ReadData(Recipe& recipe, const toml::table* data);

}  // namespace cpl::train
