// Metadata values against the goldens' manifests, where long ones are hashes.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/hash.h"
#include "formats/metadata.h"

namespace ggufmill {

inline nlohmann::json as_json(const MetadataValue& value) {
  return std::visit(
      [](const auto& v) -> nlohmann::json {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, float>)
          return static_cast<double>(v);
        else
          return v;
      },
      value);
}

inline std::string hex_of(const nlohmann::json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return sha256(as_bytes(text)).hex();
}

// `value` is what the entry of a golden's "kv" says; as same_value() of goldens/compare.py.
inline void expect_same_value(const nlohmann::json& golden, const MetadataValue& value) {
  const std::string key = golden["key"];
  EXPECT_EQ(type_name(value), golden["type"]) << key;
  const nlohmann::json got = as_json(value);
  if (golden.contains("f32_hex")) {
    const float f = std::get<float>(value);
    std::string hex;
    for (size_t i = 0; i < sizeof f; ++i) {
      constexpr char kDigits[] = "0123456789abcdef";
      const unsigned char byte = reinterpret_cast<const unsigned char*>(&f)[i];
      hex += {kDigits[byte >> 4], kDigits[byte & 15]};
    }
    EXPECT_EQ(hex, golden["f32_hex"]) << key;
  } else if (golden.contains("length")) {
    EXPECT_EQ(got.size(), golden["length"]) << key;
    EXPECT_EQ(hex_of(got), golden["sha256"]) << key;
  } else if (golden.contains("chars")) {
    EXPECT_EQ(hex_of(got), golden["sha256"]) << key;
  } else {
    EXPECT_EQ(got, golden["value"]) << key;
  }
}

}  // namespace ggufmill
