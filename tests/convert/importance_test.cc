#include "convert/importance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "quant/codecs.h"
#include "tests/convert/small_imatrix.h"
#include "tests/formats/expect_error.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {
namespace {

std::vector<float> weights(Importance& importance, const Imatrix& imatrix, uint64_t mat) {
  const ImatrixEntry& entry = *imatrix.find("w");
  std::vector<float> out(entry.n_in, -1.0f);
  importance.weights(entry, mat, out);
  return out;
}

TEST(Importance, MixesTheExpertsOwnDataWithTheLayersMean) {
  const TempFolder folder;
  // Expert 0 saw 96 tokens, expert 1 saw 32. Column means of the layer: (480 + 32) / 128 = 4, (0 + 64) / 128 = 0.5.
  const Imatrix imatrix = imatrix_of(folder, 2, {480, 0, 32, 64}, {96, 32});
  Importance importance(imatrix);
  // (n x data + 32 x mean) / (n + 32), where n x data is the sum.
  EXPECT_EQ(weights(importance, imatrix, 0), (std::vector<float>{(480 + 32 * 4) / 128.0f, (0 + 32 * 0.5f) / 128}));
  EXPECT_EQ(weights(importance, imatrix, 1), (std::vector<float>{(32 + 32 * 4) / 64.0f, (64 + 32 * 0.5f) / 64}));
}

TEST(Importance, UnseenExpertGetsTheLayersMean) {
  const TempFolder folder;
  const Imatrix imatrix = imatrix_of(folder, 2, {480, 0, 999, 999, 32, 64}, {96, 0, 32});
  Importance importance(imatrix);
  EXPECT_EQ(weights(importance, imatrix, 1), (std::vector<float>{4, 0.5f})) << "its own sums, of no token, do not count";
}

TEST(Importance, NoTokensAtAllIsFlat) {
  const TempFolder folder;
  const Imatrix imatrix = imatrix_of(folder, 3, {1, 2, 3, 4, 5, 6}, {0, 0});
  Importance importance(imatrix);
  const std::vector<float> flat = weights(importance, imatrix, 0);
  EXPECT_EQ(flat, (std::vector<float>{0, 0, 0})) << "equal weights: what every encoder takes as flat";
  EXPECT_EQ(weights(importance, imatrix, 1), flat);
}

TEST(Importance, LargestSumsStayFinite) {
  const TempFolder folder;
  const float huge = std::numeric_limits<float>::max();
  const Imatrix imatrix = imatrix_of(folder, 1, {huge, huge, huge}, {1, 1, 1});
  Importance importance(imatrix);
  for (uint64_t mat = 0; mat < 3; ++mat) EXPECT_TRUE(std::isfinite(weights(importance, imatrix, mat)[0]));
}

TEST(Importance, MeansAreRightAfterManyTensors) {
  // More tensors than means that are kept: an entry of its own copy each, all of one file.
  const TempFolder folder;
  const Imatrix imatrix = imatrix_of(folder, 2, {480, 0, 32, 64}, {96, 32});
  Importance importance(imatrix);
  std::vector<ImatrixEntry> entries(20, *imatrix.find("w"));
  for (size_t i = 0; i < entries.size(); ++i) entries[i].counts = {static_cast<float>(i), 0};
  for (int turn = 0; turn < 2; ++turn) {
    for (size_t i = 0; i < entries.size(); ++i) {
      std::vector<float> out(2);
      importance.weights(entries[i], 1, out);
      EXPECT_FLOAT_EQ(out[0], i == 0 ? 0.0f : 480.0f / static_cast<float>(i)) << i;
    }
  }
}

// An imatrix of eight experts. The last one saw three tokens, in a tenth of its columns; the others saw a thousand tokens each.
class RareExpert {
 public:
  static constexpr uint64_t kColumns = 2048, kExperts = 8;
  static constexpr double kTokens = 3;

  // The means of the columns are 2^-spread .. 2^spread.
  explicit RareExpert(int spread) {
    std::mt19937_64 random(1);
    std::vector<float> mean(kColumns), sums, counts(kExperts, 1000);
    for (float& m : mean) m = std::ldexp(1.0f, static_cast<int>(random() % (2 * spread + 1)) - spread);
    counts.back() = kTokens;
    for (uint64_t e = 0; e < kExperts; ++e) {
      for (uint64_t c = 0; c < kColumns; ++c) {
        const bool seen = e + 1 < kExperts || random() % 10 == 0;
        sums.push_back(seen ? mean[c] * counts[e] : 0.0f);
        if (e + 1 == kExperts) unseen.push_back(seen ? 0.0f : 1.0f);
      }
    }
    const TempFolder folder;
    const Imatrix imatrix = imatrix_of(folder, kColumns, sums, counts);
    Importance importance(imatrix);
    weights = ggufmill::weights(importance, imatrix, kExperts - 1);
  }

  std::vector<float> weights, unseen;  // unseen: 1 for such columns
};

// The error on the columns that the rare expert never saw, over that of the flat encode on them.
double unseen_error(const Codec& codec, Objective objective, const RareExpert& expert) {
  std::vector<float> rows, flat, weighted, unseen;
  const auto append = [](std::vector<float>& to, const std::vector<float>& values) {
    to.insert(to.end(), values.begin(), values.end());
  };
  for (uint64_t seed = 0; seed < 16; ++seed) {
    const std::vector<float> row = sample_row(RareExpert::kColumns, seed);
    append(rows, row);
    append(unseen, expert.unseen);
    append(flat, decode_row(codec, encode_row(codec, row)));
    append(weighted, decode_row(codec, encode_row(codec, row, {.importance = expert.weights, .objective = objective})));
  }
  return relative_error(rows, weighted, unseen) / relative_error(rows, flat, unseen);
}

TEST(Importance, RareExpertKeepsColumnsThatItNeverSaw) {
  const RareExpert alike(0), spread(1);
  EXPECT_GT(std::ranges::count(alike.unseen, 1.0f), 1800);
  for (const GgmlType type : {GgmlType::Q3_K, GgmlType::IQ3_XXS, GgmlType::IQ4_NL, GgmlType::Q6_K}) {
    const Codec& codec = *find_codec(type);
    EXPECT_LE(unseen_error(codec, Objective::kImportance, alike), 1.01) << name(type);
    // Magnitude, some types' own objective, moves error from large values to small ones, on all columns.
    EXPECT_LE(unseen_error(codec, codec.objective, alike), 1.03) << name(type);
    // Where the layer's columns differ by a factor of four, so do the weights, seen or not.
    EXPECT_LE(unseen_error(codec, codec.objective, spread), 1.1) << name(type);
  }
}

TEST(Importance, BrokenSumsAreNamed) {
  const TempFolder folder;
  const Imatrix imatrix = imatrix_of(folder, 2, {1, 2, 3, -4}, {1, 1});
  Importance importance(imatrix);
  expect_error(Exit::kBadInput, "i.gguf: tensor \"w.in_sum2\": matrix 1, column 1 is -4.000000, expected a sum of squares",
               [&] { weights(importance, imatrix, 0); });
}

}  // namespace
}  // namespace ggufmill
