// What holds for every codec at every effort: the same bytes on every SIMD target, with a lattice too, and less error for more
// time.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

class EveryEffort : public testing::TestWithParam<GgmlType> {
 protected:
  const Codec& codec() const { return *find_codec(GetParam()); }
};

std::vector<GgmlType> encoded_types() {
  std::vector<GgmlType> types;
  for (const Codec& codec : codecs()) {
    if (codec.encode != nullptr) types.push_back(codec.type);
  }
  return types;
}
INSTANTIATE_TEST_SUITE_P(Table, EveryEffort, testing::ValuesIn(encoded_types()),
                         [](const auto& row) { return std::string(name(row.param)); });

constexpr size_t kColumns = 2048;

TEST_P(EveryEffort, WritesTheSameBytesOnEverySimdTarget) {
  std::vector<float> row = sample_row(kColumns, 31), steps(kColumns / 16);
  for (size_t g = 0; g < steps.size(); ++g) {  // half of the row lies on a lattice
    steps[g] = 0x1p-9f * static_cast<float>(9 + g % 7);
    for (size_t i = 16 * g; i < 16 * g + 16 && g < steps.size() / 2; ++i) row[i] = steps[g] * std::round(row[i] / steps[g]);
  }
  const std::vector<float> importance = sample_importance(kColumns, 32);
  for (const Effort effort : {Effort::kFast, Effort::kDefault, Effort::kMax}) {
    const RowContext context{
        .importance = importance, .effort = effort, .lattice = {steps, 16}, .tensor_scale = kSampleTensorScale};
    const std::vector<std::byte> expected = encode_row(codec(), row, context);
    on_each_simd_target([&](const std::string& target) {
      EXPECT_EQ(encode_row(codec(), row, context), expected) << target << ", effort " << static_cast<int>(effort);
    });
  }
}

TEST_P(EveryEffort, BuysLessErrorWithMoreTime) {
  const std::vector<float> row = sample_row(4 * kColumns, 33), importance = sample_importance(4 * kColumns, 34);
  const auto error = [&](Effort effort) {
    const RowContext context{.importance = importance, .effort = effort, .tensor_scale = kSampleTensorScale};
    std::vector<float> back = decode_row(codec(), encode_row(codec(), row, context));
    if (GetParam() == GgmlType::NVFP4) {
      for (float& x : back) x *= kSampleTensorScale;
    }
    return relative_error(row, back, importance);
  };
  EXPECT_LE(error(Effort::kDefault), 1.001 * error(Effort::kFast));
  EXPECT_LE(error(Effort::kMax), 1.001 * error(Effort::kDefault));
}

}  // namespace
}  // namespace ggufmill
