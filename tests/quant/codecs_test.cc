// Contract of every row of the codec table: a new type is tested the day it stands there.
#include "quant/codecs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <ostream>
#include <string>

#include "formats/hash.h"
#include "tests/quant/each_target.h"
#include "tests/quant/sample_rows.h"

namespace ggufmill {

void PrintTo(const Codec& codec, std::ostream* out) { *out << name(codec.type); }

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr size_t kColumns = 2048;

// What a type must reach on sample_row, flat: relative error.
const std::map<GgmlType, double> kErrorBounds = {
    {GgmlType::F32, 0},       {GgmlType::F16, 3e-4},     {GgmlType::BF16, 2.5e-3},  {GgmlType::Q8_0, 0.008},
    {GgmlType::Q4_0, 0.115},  {GgmlType::Q3_K, 0.19},    {GgmlType::Q4_K, 0.085},   {GgmlType::Q5_K, 0.043},
    {GgmlType::Q6_K, 0.023},  {GgmlType::IQ4_NL, 0.092}, {GgmlType::IQ4_XS, 0.093}, {GgmlType::IQ3_XXS, 0.20},
    {GgmlType::IQ3_S, 0.165}, {GgmlType::IQ2_XXS, 0.36},  {GgmlType::IQ2_XS, 0.31},  {GgmlType::IQ2_S, 0.29},
    {GgmlType::IQ1_S, 0.50},  {GgmlType::IQ1_M, 0.455},
};

double bound(const Codec& codec) { return kErrorBounds.at(codec.type); }

std::vector<float> decoded(const Codec& codec, std::span<const float> row, std::span<const float> importance = {}) {
  return decode_row(codec, encode_row(codec, row, importance));
}

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

class EveryCodec : public testing::TestWithParam<Codec> {
 protected:
  const Codec& codec() const { return GetParam(); }
  const GgmlTypeInfo& type() const { return info(codec().type); }
};

std::string codec_name(const testing::TestParamInfo<Codec>& row) { return std::string(name(row.param.type)); }
INSTANTIATE_TEST_SUITE_P(Table, EveryCodec, testing::ValuesIn(codecs().begin(), codecs().end()), codec_name);

// Types with blocks: all but F32, F16, BF16, which keep NaN, infinity and the range of their format.
std::vector<Codec> block_codecs() {
  std::vector<Codec> rows;
  std::ranges::copy_if(codecs(), std::back_inserter(rows), [](const Codec& c) { return !c.lossless_container; });
  return rows;
}
class EveryBlockCodec : public EveryCodec {};
INSTANTIATE_TEST_SUITE_P(Table, EveryBlockCodec, testing::ValuesIn(block_codecs()), codec_name);

TEST_P(EveryCodec, EncodesARowAndDecodesItNearTheSource) {
  ASSERT_NE(codec().decode, nullptr);
  ASSERT_NE(codec().encode, nullptr);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const std::vector<float> row = sample_row(kColumns, seed);
    const double error = relative_error(row, decoded(codec(), row));
    EXPECT_LE(error, bound(codec())) << "seed " << seed;
    EXPECT_GE(error, 0.4 * bound(codec())) << "the bound says little";
  }
}

TEST_P(EveryCodec, IsFoundByItsType) {
  EXPECT_EQ(find_codec(codec().type),
            &codecs()[static_cast<size_t>(std::ranges::find(codecs(), codec().type, &Codec::type) - codecs().begin())]);
  EXPECT_EQ(codec().lossless_container, type().block_elems == 1);
  EXPECT_FALSE(codec().lossless_container && codec().uses_importance);
}

TEST_P(EveryCodec, WritesExactlyItsBlocks) {
  constexpr std::byte kCanary{0xA5};
  for (size_t blocks = 0; blocks <= 40; ++blocks) {
    const std::vector<float> row = sample_row(blocks * type().block_elems, blocks);
    std::vector<std::byte> bytes(blocks * type().block_bytes + 64, kCanary);
    const auto inside = std::span(bytes).subspan(32, blocks * type().block_bytes);
    codec().encode(row, {}, inside);
    EXPECT_TRUE(std::all_of(bytes.begin(), bytes.begin() + 32, [](std::byte b) { return b == kCanary; })) << blocks;
    EXPECT_TRUE(std::all_of(bytes.end() - 32, bytes.end(), [](std::byte b) { return b == kCanary; })) << blocks;

    std::vector<float> values(row.size() + 16, 42.0f);
    codec().decode(inside, std::span(values).subspan(8, row.size()));
    EXPECT_TRUE(std::all_of(values.begin(), values.begin() + 8, [](float v) { return v == 42.0f; })) << blocks;
    EXPECT_TRUE(std::all_of(values.end() - 8, values.end(), [](float v) { return v == 42.0f; })) << blocks;
  }
}

// Blocks may stand at any address.
TEST_P(EveryCodec, NeedsNoAlignment) {
  const std::vector<float> row = sample_row(4 * 256, 5);
  const std::vector<std::byte> expected = encode_row(codec(), row);
  std::vector<std::byte> bytes(expected.size() + 1);
  codec().encode(row, {}, std::span(bytes).subspan(1));
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes.begin() + 1));
  std::vector<float> values(row.size());
  codec().decode(std::span<const std::byte>(bytes).subspan(1), values);
  EXPECT_EQ(values, decode_row(codec(), expected));
}

TEST_P(EveryCodec, GivesABlockTheSameBytesWhereverTheRowIsCut) {
  constexpr size_t kBlocks = 37;
  const std::vector<float> row = sample_row(kBlocks * type().block_elems, 6);
  const std::vector<std::byte> whole = encode_row(codec(), row);
  for (const size_t step : {size_t{1}, size_t{3}, size_t{16}, size_t{20}}) {
    std::vector<std::byte> cut;
    for (size_t first = 0; first < kBlocks; first += step) {
      const size_t count = std::min(step, kBlocks - first);
      const auto part = encode_row(codec(), std::span(row).subspan(first * type().block_elems, count * type().block_elems));
      cut.insert(cut.end(), part.begin(), part.end());
    }
    EXPECT_EQ(cut, whole) << step << " blocks at a time";
  }
}

TEST_P(EveryCodec, KeepsZeros) {
  const std::vector<float> row(512, 0.0f);
  for (const auto& importance : {std::vector<float>(), sample_importance(512, 1), std::vector<float>(512, 0.0f)}) {
    for (const float v : decoded(codec(), row, importance)) ASSERT_TRUE(v == 0 && !std::signbit(v));
  }
  std::vector<float> negative(512, -0.0f);
  for (const float v : decoded(codec(), negative)) ASSERT_EQ(v, 0);
}

TEST_P(EveryCodec, LeavesZeroBlocksAloneBesideOthers) {
  std::vector<float> row = sample_row(4 * 256, 7);
  std::fill(row.begin() + 256, row.begin() + 512, 0.0f);
  const std::vector<float> back = decoded(codec(), row);
  for (size_t i = 256; i < 512; ++i) ASSERT_EQ(back[i], 0) << i;
  EXPECT_LE(relative_error(row, back), 1.1 * bound(codec()));
}

TEST_P(EveryBlockCodec, TakesNanAsZeroAndInfinityAsTheLargestOfItsBlock) {
  std::vector<float> row = sample_row(512, 8), clean = row;
  const size_t block = type().block_elems;
  row[3] = kNan;
  row[block + 4] = -kNan;
  row[9] = kInf;
  row[block + 9] = -kInf;
  for (const size_t at : {size_t{3}, block + 4}) clean[at] = 0;
  for (const size_t at : {size_t{9}, block + 9}) {
    const size_t first = at / block * block;
    float largest = 0;
    for (size_t i = first; i < first + block; ++i) {
      if (std::isfinite(row[i])) largest = std::max(largest, std::fabs(row[i]));
    }
    clean[at] = std::copysign(largest, row[at]);
  }
  EXPECT_EQ(encode_row(codec(), row), encode_row(codec(), clean));
}

TEST_P(EveryBlockCodec, IsTotalForBlocksOfOddValues) {
  constexpr float kMax = std::numeric_limits<float>::max(), kMin = std::numeric_limits<float>::denorm_min();
  const std::vector<std::vector<float>> patterns = {{kNan},
                                                    {kInf},
                                                    {-kInf},
                                                    {kInf, -kInf, kNan, 0},
                                                    {kMax},
                                                    {-kMax, kMax},
                                                    {kMax, kMin},
                                                    {kMin},
                                                    {-kMin, 0},
                                                    {1e-8f},
                                                    {3e-8f, -3e-8f},
                                                    {6e-8f, 1e-7f, -2e-7f},
                                                    {1e-38f},
                                                    {65504},
                                                    {1e30f, 1e-30f},
                                                    {1e9f, -2e9f, 0},
                                                    {kInf, 1e-30f},
                                                    {1},
                                                    {-1},
                                                    {1, 1, 1, -1},
                                                    {0, 0, 0, 5}};
  for (size_t p = 0; p < patterns.size(); ++p) {
    std::vector<float> row(512);
    for (size_t i = 0; i < row.size(); ++i) row[i] = patterns[p][i % patterns[p].size()];
    ASSERT_TRUE(all_finite(decoded(codec(), row, sample_importance(512, 2)))) << "pattern " << p;
    const std::vector<float> back = decoded(codec(), row);
    ASSERT_TRUE(all_finite(back)) << "pattern " << p;
    if (all_finite(row)) {
      ASSERT_LE(relative_error(row, back), 1.0) << "worse than zeros, pattern " << p;
    }
  }
}

// A constant row has one value to meet. The codebooks of IQ3 have few points with four equal magnitudes.
TEST_P(EveryCodec, MeetsConstantRows) {
  const bool iq3 = codec().type == GgmlType::IQ3_XXS || codec().type == GgmlType::IQ3_S;
  for (const float value : {1.0f, -1.0f, 0.02f, -0.03f, 1000.0f}) {
    const std::vector<float> row(512, value);
    EXPECT_LE(relative_error(row, decoded(codec(), row)), iq3 ? 0.35 : 4e-3) << value;
  }
}

TEST_P(EveryCodec, ScalesWithItsInput) {
  const std::vector<float> row = sample_row(1024, 9);
  const std::vector<float> back = decoded(codec(), row);
  for (const int exponent : {-3, 3, 10}) {
    std::vector<float> scaled = row;
    for (float& x : scaled) x = std::ldexp(x, exponent);
    const double error = relative_error(scaled, decoded(codec(), scaled));
    EXPECT_NEAR(error, relative_error(row, back), 0.02 * bound(codec()) + 1e-4) << exponent;
  }
}

// Far outside the range of f16: large values saturate and keep their signs, tiny ones vanish, neither breaks.
TEST_P(EveryBlockCodec, SaturatesBeyondItsRange) {
  for (const float factor : {1e12f, 1e20f, 1e35f}) {
    std::vector<float> row = sample_row(512, 10);
    for (float& x : row) x *= factor;
    const std::vector<float> back = decoded(codec(), row);
    ASSERT_TRUE(all_finite(back));
    EXPECT_LE(relative_error(row, back), 1.0) << factor;
    size_t largest = 0;
    for (size_t i = 0; i < row.size(); ++i) largest = std::fabs(row[i]) > std::fabs(row[largest]) ? i : largest;
    EXPECT_GT(back[largest] / row[largest], 0.0f) << factor;
  }
  std::vector<float> tiny = sample_row(512, 11);
  for (float& x : tiny) x *= 1e-9f;
  for (const float v : decoded(codec(), tiny)) ASSERT_EQ(v, 0);
}

// Weights of 1e-6 to 1e-4 need scales that f16 holds as denormals only, where the nearest scale may be too small by half.
TEST_P(EveryCodec, UsesDenormalScales) {
  for (const float factor : {0.03f, 0.013f, 0.003f, 1e-3f, 1e-4f}) {
    std::vector<float> row = sample_row(512, 12);
    for (float& x : row) x *= factor;
    const std::vector<float> back = decoded(codec(), row);
    EXPECT_TRUE(all_finite(back));
    // Q8_0's codes are defined by the scale before it is rounded.
    EXPECT_LT(relative_error(row, back), bound(codec()) + (codec().uses_importance ? 3e-6 : 3e-5) / factor) << factor;
  }
}

TEST_P(EveryCodec, EncodesWhatItDecodedAlmostUnchanged) {
  const std::vector<float> first = decoded(codec(), sample_row(kColumns, 13));
  EXPECT_LE(relative_error(first, decoded(codec(), first)), 0.45 * bound(codec()) + 1e-7);
}

TEST_P(EveryCodec, ImportanceLowersTheWeightedError) {
  const std::vector<float> row = sample_row(kColumns, 14), importance = sample_importance(kColumns, 15);
  const double flat = relative_error(row, decoded(codec(), row), importance);
  const double weighted = relative_error(row, decoded(codec(), row, importance), importance);
  if (codec().uses_importance) {
    EXPECT_LT(weighted, 0.97 * flat);
  } else {
    EXPECT_EQ(encode_row(codec(), row, importance), encode_row(codec(), row));
  }
}

TEST_P(EveryCodec, TheUnitOfImportanceDoesNotMatter) {
  const std::vector<float> row = sample_row(kColumns, 16), importance = sample_importance(kColumns, 17);
  const double expected = relative_error(row, decoded(codec(), row, importance), importance);
  for (const float factor : {1e-38f, 1e-20f, 1e30f}) {
    std::vector<float> scaled = importance;
    for (float& w : scaled) w *= factor;
    EXPECT_NEAR(relative_error(row, decoded(codec(), row, scaled), importance), expected, 0.02 * expected) << factor;
  }
}

TEST_P(EveryCodec, ImportanceOfZeroEverywhereIsFlat) {
  const std::vector<float> row = sample_row(kColumns, 18);
  EXPECT_EQ(encode_row(codec(), row, std::vector<float>(kColumns, 0.0f)), encode_row(codec(), row));
}

// The trap of rare experts: columns that calibration never saw must not be erased.
TEST_P(EveryCodec, ColumnsWithoutImportanceSurvive) {
  const std::vector<float> row = sample_row(kColumns, 19);
  const auto error_of = [&](const std::vector<float>& importance) {
    const std::vector<float> back = decoded(codec(), row, importance);
    EXPECT_TRUE(all_finite(back));
    return relative_error(row, back);
  };
  std::vector<float> range(kColumns, 1.0f);  // 256 columns of zero
  std::fill(range.begin() + 512, range.begin() + 768, 0.0f);
  EXPECT_LE(error_of(range), 1.02 * bound(codec()));

  std::vector<float> sparse = sample_importance(kColumns, 20);  // 31 of 32 columns of zero
  for (size_t i = 0; i < kColumns; ++i) sparse[i] = i % 32 == 7 ? sparse[i] : 0.0f;
  EXPECT_LE(error_of(sparse), 1.6 * bound(codec()));

  std::vector<float> one_hot(kColumns, 0.0f);
  one_hot[1000] = 1;
  EXPECT_LE(error_of(one_hot), 1.15 * bound(codec()));
}

TEST_P(EveryCodec, ImpossibleImportanceCountsAsZero) {
  const std::vector<float> row = sample_row(kColumns, 21);
  std::vector<float> importance = sample_importance(kColumns, 22), clean = importance;
  importance[5] = kNan;
  importance[300] = kInf;
  importance[700] = -3;
  for (const size_t at : {5, 300, 700}) clean[at] = 0;
  EXPECT_EQ(encode_row(codec(), row, importance), encode_row(codec(), row, clean));
}

TEST_P(EveryCodec, WritesTheSameBytesOnEverySimdTarget) {
  std::vector<float> row = sample_row(kColumns, 23);
  row[100] = kNan;
  row[300] = kInf;
  for (size_t i = 512; i < 768; ++i) row[i] *= 1e-6f;
  for (size_t i = 768; i < 1024; ++i) row[i] *= 1e20f;
  for (size_t i = 1024; i < 1280; ++i) row[i] = 0;
  for (size_t i = 1280; i < 1536; ++i) row[i] *= 1e-39f;
  const std::vector<float> importance = sample_importance(kColumns, 24);
  const std::vector<std::byte> flat = encode_row(codec(), row), weighted = encode_row(codec(), row, importance);
  const std::vector<float> values = decode_row(codec(), weighted);
  size_t targets = 0;
  on_each_simd_target([&](const std::string& target) {
    ++targets;
    EXPECT_EQ(encode_row(codec(), row), flat) << target;
    EXPECT_EQ(encode_row(codec(), row, importance), weighted) << target;
    const std::vector<float> here = decode_row(codec(), weighted);
    EXPECT_EQ(xxh128(std::as_bytes(std::span(here))), xxh128(std::as_bytes(std::span(values)))) << target;
  });
  EXPECT_GE(targets, 2u) << "the fallback and one SIMD target";
}

// Hashes of the blocks of fixed rows, flat and with importance.
struct Golden {
  const char* flat;
  const char* weighted;
};
const std::map<GgmlType, Golden> kGoldens = {
    {GgmlType::F32, {"2387d0ad138232fa28739da52f655202", "2387d0ad138232fa28739da52f655202"}},
    {GgmlType::F16, {"a711cd03c9b0e50b9671fa1ebfb88210", "a711cd03c9b0e50b9671fa1ebfb88210"}},
    {GgmlType::BF16, {"862f27a4723bc1982c4e2695552024e3", "862f27a4723bc1982c4e2695552024e3"}},
    {GgmlType::Q8_0, {"869f527277ffe5d0793bc91499bd5247", "869f527277ffe5d0793bc91499bd5247"}},
    {GgmlType::Q4_0, {"ecbe291959afdeef9b8bd66fc22f9e0a", "b2118dd588c2d785f5f830ae0723f45f"}},
    {GgmlType::Q3_K, {"ee1e633ef6ecb9d544c2324cb3f07e8a", "43b61fe625141a0c522f709270accba9"}},
    {GgmlType::Q4_K, {"5dab7559b8153145ca262c023265ba10", "d09e4ffcb3c7c32bccefdea4651c00a2"}},
    {GgmlType::Q5_K, {"7ab77aaed28e2bfe419a1c101a135dcc", "0666c163f5aae101a9b4caaa63e33cbf"}},
    {GgmlType::Q6_K, {"3cab1f9de1014aabc3f86968b4e89014", "5e63df602ebe2f4b4dfb880eea72dc5c"}},
    {GgmlType::IQ4_NL, {"3b67ffbc0b24723d07a9239c543e5bbf", "84852e8f72bd0eb4a392e3590cb6f51d"}},
    {GgmlType::IQ4_XS, {"a6633d1e87b52a511730586d8adfd7c3", "193709d0d3edf7b3dd907fa38dc191a4"}},
    {GgmlType::IQ3_XXS, {"830eaf9675e32c829260b18991f1b2c2", "b119db1c860bfcdb5f15196e5f327536"}},
    {GgmlType::IQ3_S, {"8b1a0e350687387f654462ff9f312b02", "3e6d5f78c04dd5602fe5e851f34d8339"}},
    {GgmlType::IQ2_XXS, {"97f52d77adfc764aaecd0fb5cbd6f33f", "f7114fc71212f36d07977c42e2517da5"}},
    {GgmlType::IQ2_XS, {"80d3246d0333edcfb98eb60988875fea", "45b2607dc6e89ca20b07b3d5bbfba8c2"}},
    {GgmlType::IQ1_S, {"faad3c079edd12b08c0c7aeaa24b8c32", "8f2a5dc3d78fccd00a8f757f7e7219cc"}},
    {GgmlType::IQ2_S, {"5d7d4965569c48a89d2822b183e6f2ad", "6c1eccd4abf4f9fb845cc735fea38151"}},
    {GgmlType::IQ1_M, {"8da6702a4ac7baf4b26812bbac02f296", "7269b75ea5270f71f5cbff49da84d1c6"}},
};

TEST_P(EveryCodec, WritesTheBytesOfThisEncodingVersion) {
  Xxh128Stream flat, weighted;
  for (uint64_t seed = 100; seed < 108; ++seed) {
    const std::vector<float> row = sample_row(kColumns, seed);
    flat.update(encode_row(codec(), row));
    weighted.update(encode_row(codec(), row, sample_importance(kColumns, seed)));
  }
  const auto golden = kGoldens.find(codec().type);
  const std::string row =
      "{GgmlType::" + std::string(type().name) + ", {\"" + flat.finish().hex() + "\", \"" + weighted.finish().hex() + "\"}},";
  ASSERT_NE(golden, kGoldens.end()) << "a new type needs its row in kGoldens: " << row;
  EXPECT_TRUE(flat.finish().hex() == golden->second.flat && weighted.finish().hex() == golden->second.weighted)
      << "the bytes that this type writes have changed: raise kEncodingVersion in quant/codecs.h (now " << kEncodingVersion
      << "), so that an interrupted conversion is not continued with other bytes, and put here:\n    " << row;
}

TEST(Codecs, HaveNoRowForIntegers) {
  for (const GgmlType type : {GgmlType::I8, GgmlType::I16, GgmlType::I32, GgmlType::I64}) EXPECT_EQ(find_codec(type), nullptr);
}

}  // namespace
}  // namespace ggufmill
