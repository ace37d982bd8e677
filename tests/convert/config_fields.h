// Tests of what families read from config.json, without a checkpoint.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "convert/arch/arch.h"
#include "tests/convert/nemotron_checkpoint.h"

namespace ggufmill {

inline ArchDescription describe_config(const nlohmann::json& config, const ModelOptions& options = {}) {
  const Config json(JsonDocument(config.dump(), "config.json"));
  return find_architecture(json).describe(json, options);
}

inline std::string config_error(const nlohmann::json& config, const ModelOptions& options = {}) {
  try {
    describe_config(config, options);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::kBadInput);
    return error.message();
  }
}

struct FieldRow {
  std::string field;
  nlohmann::json value;  // null: the field is missing
  std::string message;   // behind "config.json: field "
};

inline void expect_bad_fields(const nlohmann::json& good, const std::vector<FieldRow>& rows) {
  EXPECT_EQ(config_error(good), "");
  for (const FieldRow& row : rows) {
    nlohmann::json config = good;
    config[row.field] = row.value;
    EXPECT_TRUE(says(config_error(config), "config.json: field " + row.message)) << row.field;
  }
}

}  // namespace ggufmill
