#include "cmd/types.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "formats/ggml_type.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

TEST(Types, PrintsOneRowPerType) {
  std::ostringstream out;
  EXPECT_EQ(run_types({}, out), 0);
  const std::string text = out.str();
  for (const GgmlTypeInfo& type : ggml_types()) EXPECT_NE(text.find(type.name), std::string::npos) << type.name;
  EXPECT_NE(text.find("3.4375"), std::string::npos) << "bits per weight of IQ3_S";
}

TEST(Types, JsonSaysWhatTheCodecTableSays) {
  std::ostringstream out;
  EXPECT_EQ(run_types({.json = true}, out), 0);
  const auto types = nlohmann::json::parse(out.str())["types"];
  ASSERT_EQ(types.size(), ggml_types().size());
  for (size_t i = 0; i < types.size(); ++i) {
    const GgmlTypeInfo& type = ggml_types()[i];
    const Codec* codec = find_weight_codec(type.type);
    EXPECT_EQ(types[i]["name"], type.name);
    EXPECT_EQ(types[i]["bits_per_weight"], type.bits_per_weight());
    EXPECT_EQ(types[i]["block_elems"], type.block_elems);
    EXPECT_EQ(types[i]["decode"], codec != nullptr);
    EXPECT_EQ(types[i]["encode"], codec != nullptr && codec->encode != nullptr);
    EXPECT_EQ(types[i]["uses_importance"], codec != nullptr && codec->uses_importance);
    EXPECT_EQ(types[i]["lossless_container"], codec != nullptr && codec->lossless_container);
  }
}

}  // namespace
}  // namespace ggufmill
