#include "formats/ggml_type.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

namespace ggufmill {
namespace {

TEST(GgmlType, RowTellsTheBlockLayout) {
  const GgmlTypeInfo& q4_k = info(GgmlType::Q4_K);
  EXPECT_EQ(q4_k.name, "Q4_K");
  EXPECT_EQ(q4_k.block_elems, 256u);
  EXPECT_EQ(q4_k.block_bytes, 144u);
  EXPECT_DOUBLE_EQ(q4_k.bits_per_weight(), 4.5);
}

TEST(GgmlType, FindsByIdAndByNameInAnyCase) {
  std::set<std::string_view> names;
  for (const GgmlTypeInfo& row : ggml_types()) {
    EXPECT_EQ(find_ggml_type(static_cast<uint32_t>(row.type)), &row);
    EXPECT_EQ(find_ggml_type(row.name), &row);
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " stands twice";
    EXPECT_GT(row.block_elems, 0u);
    EXPECT_GT(row.block_bytes, 0u);
  }
  EXPECT_EQ(find_ggml_type("iq3_xxs"), &info(GgmlType::IQ3_XXS));
  EXPECT_EQ(find_ggml_type("Bf16"), &info(GgmlType::BF16));
}

TEST(GgmlType, KnowsNoRemovedOrInventedType) {
  for (const uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 255u, 1u << 31, ~0u})
    EXPECT_EQ(find_ggml_type(id), nullptr) << id;
  EXPECT_EQ(find_ggml_type("Q4_K_M"), nullptr) << "a file type, not a tensor type";
  EXPECT_EQ(find_ggml_type(""), nullptr);
}

TEST(TensorBytes, IsRowsOfWholeBlocks) {
  EXPECT_EQ(tensor_bytes(GgmlType::IQ3_S, 512, 3), 2u * 110u * 3u);
  EXPECT_EQ(tensor_bytes(GgmlType::F32, 0, 7), 0u);
  EXPECT_EQ(tensor_bytes(GgmlType::Q4_K, 255, 1), std::nullopt);
  EXPECT_EQ(tensor_bytes(GgmlType::F64, uint64_t{1} << 60, 8), std::nullopt);
  EXPECT_EQ(tensor_bytes(GgmlType::F32, uint64_t{1} << 62, 1), std::nullopt);
}

}  // namespace
}  // namespace ggufmill
