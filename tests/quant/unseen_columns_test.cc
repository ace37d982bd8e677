// Columns without importance, for every type with blocks: an expert that calibration rarely used leaves most of them at zero.
// They must keep their values, nearly as well as where nothing is important; and the unit of importance must not matter.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "quant/codecs.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

constexpr size_t kColumns = 2048;
constexpr uint64_t kRows = 8;
constexpr float kLargest = std::numeric_limits<float>::max(), kSmallest = std::numeric_limits<float>::denorm_min();

std::vector<float> decoded(const Codec& codec, std::span<const float> row, std::span<const float> importance = {},
                           Objective objective = Objective::kImportance) {
  const RowContext context{.importance = importance, .objective = objective, .tensor_scale = kSampleTensorScale};
  std::vector<float> values = decode_row(codec, encode_row(codec, row, context));
  if (codec.scaled) {
    for (float& x : values) x *= kSampleTensorScale;
  }
  return values;
}

// Adds up rows that were encoded with importance and flat.
class BesideFlat {
 public:
  explicit BesideFlat(const Codec& codec, Objective objective = Objective::kImportance) : codec_(codec), objective_(objective) {}

  void add(std::span<const float> row, std::span<const float> importance) {
    append(rows_, row);
    append(importance_, importance);
    append(weighted_, decoded(codec_, row, importance, objective_));
    append(flat_, decoded(codec_, row));
  }

  // The error, and its ratio to that of the flat encode, on the columns that chosen(column, importance) names.
  template <typename Chosen>
  double error(const Chosen& chosen) const {
    return relative_error(rows_, weighted_, mask(chosen));
  }
  template <typename Chosen>
  double ratio(const Chosen& chosen) const {
    return error(chosen) / relative_error(rows_, flat_, mask(chosen));
  }
  bool finite() const {
    return std::ranges::all_of(weighted_, [](float v) { return std::isfinite(v); });
  }

 private:
  static void append(std::vector<float>& to, std::span<const float> values) { to.insert(to.end(), values.begin(), values.end()); }
  template <typename Chosen>
  std::vector<float> mask(const Chosen& chosen) const {
    std::vector<float> out(importance_.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = chosen(i % kColumns, importance_[i]) ? 1.0f : 0.0f;
    return out;
  }

  const Codec& codec_;
  const Objective objective_;
  std::vector<float> rows_, importance_, weighted_, flat_;
};

constexpr auto kUnseen = [](size_t, float importance) { return importance == 0; };

class UnseenColumns : public testing::TestWithParam<GgmlType> {
 protected:
  const Codec& codec() const { return *find_codec(GetParam()); }

  // Rows of importance of a wide range, zero where unseen(column, random number).
  template <typename Unseen>
  BesideFlat beside_flat(Objective objective, const Unseen& unseen) const {
    BesideFlat out(codec(), objective);
    std::mt19937_64 random(50);
    for (uint64_t seed = 0; seed < kRows; ++seed) {
      std::vector<float> importance = sample_importance(kColumns, 70 + seed);
      for (size_t i = 0; i < kColumns; ++i) {
        if (unseen(i, random())) importance[i] = 0;
      }
      out.add(sample_row(kColumns, 60 + seed), importance);
    }
    EXPECT_TRUE(out.finite());
    return out;
  }
};

std::vector<GgmlType> block_types() {
  std::vector<GgmlType> types;
  for (const Codec& codec : codecs()) {
    if (!codec.lossless_container && codec.encode != nullptr) types.push_back(codec.type);
  }
  return types;
}
INSTANTIATE_TEST_SUITE_P(Table, UnseenColumns, testing::ValuesIn(block_types()),
                         [](const auto& row) { return std::string(name(row.param)); });

TEST_P(UnseenColumns, WholeSuperBlocksLoseWhatTheyLoseFlat) {
  const auto range = [](size_t column, uint64_t) { return column >= 512 && column < 768; };
  EXPECT_LE(beside_flat(Objective::kImportance, range).ratio(kUnseen), 1.01);
  // Magnitude shifts error from large values to small ones, the more the fewer levels a type has.
  const bool few_levels = codec().typical_error > 0.3f;
  EXPECT_LE(beside_flat(Objective::kImportanceTimesMagnitude, range).ratio(kUnseen), few_levels ? 1.1 : 1.04);
}

// Of 32 columns beside important ones. Types whose only scale spans more columns than these leave it to the important ones.
double bound_in_a_block(GgmlType type) {
  switch (type) {
    case GgmlType::TQ1_0:
    case GgmlType::TQ2_0:
    case GgmlType::Q1_0:
    case GgmlType::Q2_0:
      return 1.3;
    default:
      return 1.06;
  }
}

TEST_P(UnseenColumns, GroupInABlockLosesLittleMore) {
  const auto group = [](size_t column, uint64_t) { return column % 256 / 32 == 3; };
  for (const Objective objective : {Objective::kImportance, Objective::kImportanceTimesMagnitude}) {
    EXPECT_LE(beside_flat(objective, group).ratio(kUnseen), bound_in_a_block(GetParam())) << name(objective);
  }
}

// Q4_0 and Q5_0 have one scale for 32 columns and no minimum: the three important ones of them choose it.
double bound_of_nine_in_ten(GgmlType type) { return type == GgmlType::Q4_0 || type == GgmlType::Q5_0 ? 1.7 : 1.6; }

TEST_P(UnseenColumns, NineOfTenAreNotErased) {
  const auto most = [](size_t, uint64_t random) { return random % 10 != 0; };
  for (const Objective objective : {Objective::kImportance, Objective::kImportanceTimesMagnitude}) {
    const BesideFlat rows = beside_flat(objective, most);
    EXPECT_LE(rows.ratio(kUnseen), bound_of_nine_in_ten(GetParam())) << name(objective);
    EXPECT_LE(rows.error(kUnseen), 0.9) << name(objective) << ": erased is 1";
  }
}

// One of eight, alone among important ones, which choose what the block can be. A codebook has one point for four or eight
// columns: there the important neighbours choose the unseen column's magnitude too.
double bound_alone(GgmlType type) {
  switch (type) {
    case GgmlType::IQ2_XXS:
    case GgmlType::IQ2_XS:
    case GgmlType::IQ2_S:
    case GgmlType::IQ3_XXS:
    case GgmlType::IQ3_S:
      return 2.6;
    default:
      return 1.9;
  }
}

TEST_P(UnseenColumns, OneOfEightIsNotErased) {
  const auto alone = [](size_t, uint64_t random) { return random % 8 == 0; };
  for (const Objective objective : {Objective::kImportance, Objective::kImportanceTimesMagnitude}) {
    const BesideFlat rows = beside_flat(objective, alone);
    EXPECT_LE(rows.ratio(kUnseen), bound_alone(GetParam())) << name(objective);
    EXPECT_LE(rows.error(kUnseen), 0.9) << name(objective) << ": erased is 1";
  }
}

TEST_P(UnseenColumns, EqualImportanceOfAnyUnitIsAsFlat) {
  const std::vector<float> row = sample_row(kColumns, 25);
  for (const float unit : {kSmallest, 1e-40f, 1e-38f, 1.0f, 1e30f, kLargest}) {
    BesideFlat rows(codec());
    rows.add(row, std::vector<float>(kColumns, unit));
    EXPECT_TRUE(rows.finite()) << unit;
    EXPECT_NEAR(rows.ratio([](size_t, float) { return true; }), 1, 0.01) << unit;
  }
}

// The scales of MXFP4 and NVFP4 cannot be chosen finely enough to meet one value. The search of Q3_K does not try a scale so
// small that most of a group saturates, which is what a small value alone would be worth.
double bound_of_the_only(GgmlType type) {
  switch (type) {
    case GgmlType::MXFP4:
      return 0.2;
    case GgmlType::NVFP4:
      return 0.04;
    case GgmlType::Q3_K:
      return 0.12;
    default:
      return 0.012;
  }
}

// What it may cost the 255 others of its super-block; the ternary types have but one scale for them all.
double bound_beside_the_only(GgmlType type) { return type == GgmlType::TQ1_0 || type == GgmlType::TQ2_0 ? 1.5 : 1.3; }

TEST_P(UnseenColumns, OnlyImportantColumnIsMetAndTheOthersSurvive) {
  constexpr size_t kOnly = 700;
  const auto beside = [](size_t column) { return column / 256 == kOnly / 256; };
  for (const float unit : {kSmallest, 1e-38f, 1.0f, 1e30f, kLargest}) {
    BesideFlat rows(codec());
    for (uint64_t seed = 0; seed < kRows; ++seed) {
      std::vector<float> importance(kColumns, 0.0f);
      importance[kOnly] = unit;
      rows.add(sample_row(kColumns, 80 + seed), importance);
    }
    EXPECT_TRUE(rows.finite()) << unit;
    EXPECT_LE(rows.error([](size_t column, float) { return column == kOnly; }), bound_of_the_only(GetParam())) << unit;
    EXPECT_LE(rows.ratio([&](size_t column, float) { return column != kOnly && beside(column); }),
              bound_beside_the_only(GetParam()))
        << unit;
    EXPECT_LE(rows.ratio([&](size_t column, float) { return !beside(column); }), 1.01) << unit;
  }
}

}  // namespace
}  // namespace ggufmill
