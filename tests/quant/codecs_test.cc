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

double bound(const Codec& codec) {
  if (codec.type == GgmlType::F16) return 3e-4;
  if (codec.type == GgmlType::BF16) return 2.5e-3;
  return 1.05 * static_cast<double>(codec.typical_error);
}

// Near what a converter chooses, largest / (448 * 6): E4M3 scales up to 448, codes up to 6. A power of two.
float tensor_scale_of(const Codec& codec, std::span<const float> row) {
  if (codec.type != GgmlType::NVFP4) return 1;
  float largest = 0;
  for (const float x : row) largest = std::isfinite(x) ? std::max(largest, std::fabs(x)) : largest;
  return largest == 0 ? 1 : std::ldexp(1.0f, std::clamp(std::ilogb(largest) - 10, -126, 116));
}

std::vector<float> decoded(const Codec& codec, std::span<const float> row, std::span<const float> importance = {}) {
  const float tensor_scale = tensor_scale_of(codec, row);
  std::vector<float> values = decode_row(codec, encode_row(codec, row, {.importance = importance, .tensor_scale = tensor_scale}));
  for (float& x : values) x *= tensor_scale;
  return values;
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
  codec().encode(row, {.tensor_scale = kSampleTensorScale}, std::span(bytes).subspan(1));
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

// A constant row has one value to meet. The codebooks of IQ3 have few points with four equal magnitudes; the scales of MXFP4 are
// powers of two, those of NVFP4 have 4 bits.
double constant_bound(GgmlType type) {
  switch (type) {
    case GgmlType::IQ3_XXS:
    case GgmlType::IQ3_S:
      return 0.35;
    case GgmlType::MXFP4:
      return 0.2;
    case GgmlType::NVFP4:
      return 0.04;
    default:
      return 4e-3;
  }
}

TEST_P(EveryCodec, MeetsConstantRows) {
  for (const float value : {1.0f, -1.0f, 0.02f, -0.03f, 1000.0f}) {
    const std::vector<float> row(512, value);
    EXPECT_LE(relative_error(row, decoded(codec(), row)), constant_bound(codec().type)) << value;
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

// The scale of MXFP4 has all exponents of f32, and a tensor scale takes any magnitude out of NVFP4.
bool keeps_any_magnitude(const Codec& codec) { return codec.type == GgmlType::MXFP4 || codec.type == GgmlType::NVFP4; }

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
  const std::vector<float> back = decoded(codec(), tiny);
  if (keeps_any_magnitude(codec())) {
    EXPECT_LE(relative_error(tiny, back), bound(codec()));
  } else {
    for (const float v : back) ASSERT_EQ(v, 0);
  }
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

// MXFP4 chooses between two or three scales; one scale for 128 or 256 values of one code or two has few important ones to meet.
double gain_by_importance(GgmlType type) {
  switch (type) {
    case GgmlType::MXFP4:
    case GgmlType::TQ1_0:
    case GgmlType::TQ2_0:
    case GgmlType::Q1_0:
      return 0.99;
    default:
      return 0.97;
  }
}

TEST_P(EveryCodec, ImportanceLowersTheWeightedError) {
  const std::vector<float> row = sample_row(kColumns, 14), importance = sample_importance(kColumns, 15);
  const double flat = relative_error(row, decoded(codec(), row), importance);
  const double weighted = relative_error(row, decoded(codec(), row, importance), importance);
  if (codec().uses_importance) {
    EXPECT_LT(weighted, gain_by_importance(codec().type) * flat);
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
    {GgmlType::Q4_0, {"d6ff1f70b525e9e95ed4a8d66a33d815", "9d0fc1562cdcf6469662141a317ddeae"}},
    {GgmlType::Q4_1, {"716434b20b144ca773a58ef5ce647cc1", "7d97b8d1cf19d896d9c8959bec08d212"}},
    {GgmlType::Q5_0, {"c75bd9c6aa4cfe794c00f69c8b800b1e", "efde6410033195a9de80e23009b5d636"}},
    {GgmlType::Q5_1, {"edbcc1cb792e6bebbf3f4e4c5b23faa3", "819135af89ff8ba8c613186eaf5a3ab4"}},
    {GgmlType::Q8_0, {"6f8b88c7f840198d1fd538a638d0dfcc", "34f33ba1801753a49d7f529294f1068f"}},
    {GgmlType::Q2_K, {"0619c7391eed182303f5bdc9954651f0", "be94bed285d6758d6fb449a1d3bde7a2"}},
    {GgmlType::Q3_K, {"a93079a1c165dbc067b9392ee5ba4155", "cd2a106604420f0ec79cad15fee41c91"}},
    {GgmlType::Q4_K, {"101cb2e503303a42d80bae4373953bba", "d1d9eda34048f5ecf15b8ea3d10ef04a"}},
    {GgmlType::Q5_K, {"1304850503e0de22b78e7fff77efeaa8", "5e6b333adda4e89c0f19cd7730d0f6ca"}},
    {GgmlType::Q6_K, {"b66b737753edb55b73f4d6330282cbce", "0046d1f4c03ccb6dcf6f801b2cffc978"}},
    {GgmlType::IQ2_XXS, {"95506bf9469cbe0427b0936a6b35d18d", "cc0002c9012280f7f3d6566e0610f211"}},
    {GgmlType::IQ2_XS, {"7c8cbf4dfe3b4e1b421fa5e5748683c2", "c6b35e568a77c384d9a8115444e925ef"}},
    {GgmlType::IQ3_XXS, {"664997d44d672f09a41c9aa91eca8b49", "3f2cb6d687cc1bd089cac7b49af0c3f8"}},
    {GgmlType::IQ1_S, {"90e56f5df99b66f84b1fc805c3830594", "d4b2a9eccd5d74b7c100eed5a9241096"}},
    {GgmlType::IQ4_NL, {"91d8dd4855a1dc8babf032456bf09b74", "4d8c9c4cd5a605ba4c8e86f0d4e05cc0"}},
    {GgmlType::IQ3_S, {"4505dc22d2fae9e6a0dc9e8746ffe637", "b75b720639d9efb960076df111e05d53"}},
    {GgmlType::IQ2_S, {"39839cafdcf05f3c9d448fe491216d13", "7ff40e231a7b4cb0e9bd68f9681c709f"}},
    {GgmlType::IQ4_XS, {"8536ae78ce885bb70d76d57e439c5df7", "c1d55cbfe0f8713dbcc335b550b1f2a3"}},
    {GgmlType::IQ1_M, {"3089148a0c8bf803c0bf49abbe7c9efb", "0242d1b2223eb4a7a7a87d0bc35d8a5b"}},
    {GgmlType::BF16, {"862f27a4723bc1982c4e2695552024e3", "862f27a4723bc1982c4e2695552024e3"}},
    {GgmlType::TQ1_0, {"4cfaf96c86d5c99e7e7985e48f05c979", "598385d18f72972503d6778dcd4a9dcd"}},
    {GgmlType::TQ2_0, {"fa01b42ab51779fe849f99420a6e525c", "646af4b74c1344b4d7deeaf22a24075c"}},
    {GgmlType::MXFP4, {"db340508c7a6899611caf6b25080d590", "76284d4f0cf90a1361ad7ba2fd8a0928"}},
    {GgmlType::NVFP4, {"10af86bf8bf0084fe385865aecfc854f", "f2d9a69c9d5bb4cb8579451a4d56c372"}},
    {GgmlType::Q1_0, {"7935679174a81b6183187af6a19103a7", "ed29badcd515ea683a2a698047366dbb"}},
    {GgmlType::Q2_0, {"e8c93dbac1b310da7ba43803babb1abb", "7215fcf12af0b2693c55a6e13582dd20"}},
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
  for (const GgmlType type : {GgmlType::I8, GgmlType::I16, GgmlType::I32, GgmlType::I64}) EXPECT_EQ(find_weight_codec(type), nullptr);
}

}  // namespace
}  // namespace ggufmill
