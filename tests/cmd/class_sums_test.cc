#include "cmd/class_sums.h"

#include <gtest/gtest.h>

namespace ggufmill {
namespace {

PlannedTensor tensor(TensorClass tensor_class, GgmlType type, std::vector<uint64_t> ne) {
  PlannedTensor t;
  t.tensor_class = tensor_class;
  t.type = type;
  t.ne = std::move(ne);
  t.extent.bytes = *tensor_bytes(type, t.row_elems(), t.rows());
  return t;
}

TEST(ClassSums, AddUpPerClass) {
  Plan plan;
  plan.tensors = {tensor(TensorClass::kExperts, GgmlType::Q8_0, {32, 2}), tensor(TensorClass::kNorms, GgmlType::F32, {10}),
                  tensor(TensorClass::kExperts, GgmlType::Q4_0, {32, 4})};
  const auto sums = class_sums(plan);
  ASSERT_EQ(sums.size(), 2u);
  const ClassSum& experts = sums.at(TensorClass::kExperts);
  EXPECT_EQ(experts.tensors, 2u);
  EXPECT_EQ(experts.elems, 192u);
  EXPECT_EQ(experts.bytes, 2 * 34 + 4 * 18u);
  EXPECT_EQ(experts.type_names(), "Q4_0 Q8_0");
  EXPECT_EQ(sums.at(TensorClass::kNorms).bytes, 40u);
}

TEST(ClassSums, BitsPerWeight) {
  EXPECT_EQ(bits_per_weight(34, 32), 8.5);
  EXPECT_EQ(bits_per_weight(34, 0), 0);
}

}  // namespace
}  // namespace ggufmill
