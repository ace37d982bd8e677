#include "verify/values.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "tests/formats/expect_error.h"
#include "tests/verify/small_set.h"
#include "verify/error_bounds.h"
#include "verify/parallel.h"
#include "verify/row_choice.h"
#include "verify/value_sums.h"

namespace ggufmill {
namespace {

using Lines = std::vector<std::string>;

TEST(RowChoice, OneOfEachRunAndEveryExpert) {
  const RowChoice all(12, 3, 1.0, 0, "t");
  ASSERT_EQ(all.size(), 12u);
  for (uint64_t i = 0; i < 12; ++i) EXPECT_EQ(all[i], i);
  const RowChoice few(5120 * 64, 64, 1e-9, 7, "t");
  ASSERT_EQ(few.size(), 64u);
  for (uint64_t i = 0; i < 64; ++i) EXPECT_EQ(few[i] / 5120, i);
  const RowChoice some(1000, 1, 0.0301, 7, "t");
  ASSERT_EQ(some.size(), 31u);
  for (uint64_t i = 0; i < 31; ++i) {
    if (i > 0) {
      EXPECT_GT(some[i], some[i - 1]);
    }
    EXPECT_NEAR(static_cast<double>(some[i]), (static_cast<double>(i) + 0.5) * 1000 / 31, 33);
  }
  EXPECT_EQ(RowChoice(1, 1, 0.01, 0, "t").size(), 1u);
}

TEST(RowChoice, SeedAndNameChangeTheRows) {
  const auto rows = [](uint64_t seed, std::string_view name) {
    const RowChoice choice(100000, 1, 0.001, seed, name);
    std::vector<uint64_t> chosen;
    for (uint64_t i = 0; i < choice.size(); ++i) chosen.push_back(choice[i]);
    return chosen;
  };
  EXPECT_EQ(rows(1, "a"), rows(1, "a"));
  EXPECT_NE(rows(1, "a"), rows(2, "a"));
  EXPECT_NE(rows(1, "a"), rows(1, "b"));
}

TEST(ValueSums, FiguresOfARow) {
  ValueSums sums;
  const std::vector<float> x = {3, 4, 0, 0}, y = {3, 4, 0, 1};
  add_row(sums, 7, x, y, {}, 2);
  EXPECT_EQ(sums.rows, 1u);
  EXPECT_DOUBLE_EQ(sums.relative_rmse(), 0.2);
  EXPECT_DOUBLE_EQ(sums.cosine(), 25 / (5 * std::sqrt(26)));
  EXPECT_EQ(sums.max_error, 1);
  EXPECT_EQ(sums.worst_block, (WorstBlock{7, 2, std::numeric_limits<double>::infinity()}));  // zeros that became something else
}

TEST(ValueSums, ZerosAndMerge) {
  ValueSums zero;
  EXPECT_EQ(zero.relative_rmse(), 0);
  EXPECT_EQ(zero.cosine(), 1);
  ValueSums a, b;
  add_row(a, 0, std::vector<float>{1, 1}, std::vector<float>{1, 2}, {}, 1);
  add_row(b, 1, std::vector<float>{0, 0}, std::vector<float>{0, 0}, {}, 1);
  EXPECT_EQ(b.relative_rmse(), 0);
  b.merge(a);
  EXPECT_EQ(b.rows, 2u);
  EXPECT_EQ(b.worst_block.row, 0u);
  EXPECT_DOUBLE_EQ(b.relative_rmse(), std::sqrt(0.5));
  ValueSums lost;
  add_row(lost, 0, std::vector<float>{1}, std::vector<float>{0}, {}, 1);
  EXPECT_EQ(lost.cosine(), 0);
}

TEST(ValueSums, NonFiniteValues) {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  ValueSums sums;
  add_row(sums, 3, std::vector<float>{nan, inf, 1, 2}, std::vector<float>{0, 0, inf, nan}, {}, 1);
  EXPECT_EQ(sums.nonfinite_count, 2u);
  EXPECT_EQ(sums.first_nonfinite->column, 2u);
  EXPECT_EQ(sums.relative_rmse(), 0);  // nothing finite on both sides
  ValueSums exact;
  const std::vector<float> x = {nan, inf, -inf, 0.0f};
  add_row(exact, 0, x, x, x, 1);
  EXPECT_EQ(exact.inexact_count, 0u);
  add_row(exact, 1, x, std::vector<float>{-nan, inf, -inf, -0.0f}, x, 1);
  EXPECT_EQ(exact.inexact_count, 1u);  // any NaN is a NaN, but -0 is not 0
  EXPECT_EQ(exact.first_inexact->column, 3u);
}

TEST(ErrorBounds, EveryCodecHasOne) {
  for (const Codec& codec : codecs()) {
    const double bound = largest_relative_rmse(codec.type);
    EXPECT_EQ(bound == 0, codec.lossless_container) << name(codec.type);
    EXPECT_LT(bound, 1) << "that of zeros, " << name(codec.type);
  }
}

// Every type: what its encoder makes of near-Gaussian rows holds, and the same blocks against other rows do not.
TEST(ErrorBounds, TellEncodedRowsFromOtherRows) {
  const size_t n = 1024;
  std::vector<float> row(n), other(n), decoded(n);
  uint64_t state = 1;
  const auto draw = [&] {
    float sum = 0;
    for (int k = 0; k < 12; ++k)
      sum += static_cast<float>((state = state * 6364136223846793005 + 1442695040888963407) >> 40) / 0x1p24f;
    return 0.02f * (sum - 6);
  };
  for (float& v : row) v = draw();
  for (float& v : other) v = draw();
  for (const Codec& codec : codecs()) {
    if (codec.lossless_container) continue;
    std::vector<std::byte> blocks(tensor_bytes(codec.type, n, 1).value());
    codec.encode(row, {}, blocks);
    codec.decode(blocks, decoded);
    ValueSums same, wrong;
    add_row(same, 0, row, decoded, {}, info(codec.type).block_elems);
    add_row(wrong, 0, other, decoded, {}, info(codec.type).block_elems);
    EXPECT_LT(same.relative_rmse(), largest_relative_rmse(codec.type)) << name(codec.type);
    EXPECT_GT(wrong.relative_rmse(), largest_relative_rmse(codec.type)) << name(codec.type);
  }
}

TEST(ParallelFor, EveryTaskOnceAndTheFirstErrorThrown) {
  std::vector<int> calls(1000);
  parallel_for(calls.size(), 4, [&](size_t i) { ++calls[i]; });
  EXPECT_EQ(calls, std::vector<int>(1000, 1));
  parallel_for(0, 4, [](size_t) { FAIL(); });
  EXPECT_THROW(parallel_for(10, 3,
                            [](size_t i) {
                              if (i == 5) throw Error(Exit::kSystem, "five");
                            }),
               Error);
}

class Values : public testing::Test {
 protected:
  // A file of one row-of-32 tensor `t`, and what the source expects of it.
  Lines lines(GgmlType type, std::vector<float> stored, std::vector<float> expected, ValueOptions options = {.full = true}) {
    const std::vector<uint64_t> ne = {32, stored.size() / 32};
    return lines(small_file("m.gguf", {}, {{"t", type, ne, std::move(stored)}}).bytes, ne, std::move(expected), options);
  }
  Lines lines(const std::string& bytes, std::vector<uint64_t> ne, std::vector<float> expected,
              ValueOptions options = {.full = true}) {
    folder_.write("m.gguf", bytes);
    RowSource source;
    source.tensors = {{"t", ne, "experts"}};
    source.read_row = [&](size_t, uint64_t row, std::span<float> out) {
      std::copy_n(expected.begin() + static_cast<ptrdiff_t>(row * out.size()), out.size(), out.begin());
    };
    return run(source, options);
  }
  Lines run(const RowSource& source, const ValueOptions& options) {
    report_ = {};
    const auto files = open_files({.folder = folder_.path(), .files = {"m.gguf"}}, report_);
    check_values(files, source, options, report_);
    return lines_of(report_);
  }
  TempFolder folder_;
  Report report_;
};

TEST_F(Values, ReportOfASoundSet) {
  const SmallSet set;
  for (const bool full : {false, true}) {
    Report report;
    const auto files = open_files({.folder = set.folder().path(), .files = {set.files()[0].name, set.files()[1].name}}, report);
    check_values(files, set.source(), {.full = full, .threads = 3}, report);
    EXPECT_EQ(lines_of(report), Lines());
    ASSERT_EQ(report.tensors.size(), 3u);
    EXPECT_EQ(report.tensors[0].name, "a");
    EXPECT_EQ(report.tensors[0].relative_rmse, 0);
    EXPECT_EQ(report.tensors[0].cosine, 1);
    EXPECT_EQ(report.tensors[1].rows_compared, full ? 2u : 1u);
    EXPECT_EQ(report.tensors[2].rows_compared, full ? 6u : 3u);  // at least one row of each expert
    EXPECT_EQ(report.tensors[2].class_name, "experts");
    EXPECT_EQ(report.tensors[2].type, GgmlType::Q8_0);
    EXPECT_GT(report.tensors[2].relative_rmse, 0);
    EXPECT_LT(report.tensors[2].relative_rmse, 0.01);
    EXPECT_GT(report.tensors[2].cosine, 0.999);
    EXPECT_GT(report.tensors[2].max_error, 0);
  }
}

TEST_F(Values, ThreadsDoNotChangeTheFigures) {
  const std::vector<uint64_t> ne = {32, 40000};
  const std::vector<float> values = ramp(32 * 40000, 0.013f);
  const std::string bytes = small_file("m.gguf", {}, {{"t", GgmlType::Q8_0, ne, values}}).bytes;
  EXPECT_EQ(lines(bytes, ne, values, {.full = true, .threads = 1}), Lines());
  const TensorReport one = report_.tensors[0];
  EXPECT_EQ(lines(bytes, ne, values, {.full = true, .threads = 4}), Lines());
  EXPECT_EQ(std::bit_cast<uint64_t>(one.relative_rmse), std::bit_cast<uint64_t>(report_.tensors[0].relative_rmse));
  EXPECT_EQ(std::bit_cast<uint64_t>(one.cosine), std::bit_cast<uint64_t>(report_.tensors[0].cosine));
  EXPECT_EQ(one.worst_block, report_.tensors[0].worst_block);
}

TEST_F(Values, WrongRowsAreAnErrorAboveTheBound) {
  std::vector<float> swapped = ramp(64, 1);
  std::rotate(swapped.begin(), swapped.begin() + 32, swapped.end());
  const Lines found = lines(GgmlType::Q8_0, ramp(64, 1), swapped);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].starts_with("error m.gguf [t] relative RMSE is 1.")) << found[0];
  EXPECT_TRUE(found[0].find("Q8_0 allows 0.01") != std::string::npos) << found[0];
}

TEST_F(Values, BoundsOfAClass) {
  std::vector<float> off = ramp(32, 1);
  for (float& v : off) v *= 1.05f;
  EXPECT_EQ(lines(GgmlType::Q8_0, ramp(32, 1), off).size(), 1u);
  EXPECT_EQ(lines(GgmlType::Q8_0, ramp(32, 1), off, {.max_error = {{"experts", 0.06}}}), Lines());
  EXPECT_EQ(lines(GgmlType::F32, ramp(32, 1), off, {.max_error = {{"experts", 0.06}}}), Lines());
  const Lines strict = lines(GgmlType::Q8_0, ramp(32, 1), ramp(32, 1), {.max_error = {{"experts", 1e-6}}});
  ASSERT_EQ(strict.size(), 1u);
  EXPECT_TRUE(strict[0].ends_with("class experts allows 1e-06")) << strict[0];
  expect_error(Exit::kUsage, "--max-error: no tensor is of class \"expert\"; there are experts", [&] {
    lines(GgmlType::F32, ramp(32, 1), ramp(32, 1), {.max_error = {{"expert", 1}}});
  });
}

TEST_F(Values, FloatTypesMustBeTheSourceRounded) {
  std::vector<float> x = ramp(32, 0.1f);
  for (const GgmlType type : {GgmlType::F32, GgmlType::F16, GgmlType::BF16}) EXPECT_EQ(lines(type, x, x), Lines()) << name(type);
  std::vector<float> y = x;
  y[5] = std::nextafter(y[5], 10.0f);
  y[9] += 1;
  EXPECT_EQ(lines(GgmlType::F32, y, x),
            (Lines{"error m.gguf [t] 2 values of 1 rows are not the source's in F32: row 0, column 5 is "
                   "-0.324999988, the source gives -0.325000018"}));
  EXPECT_EQ(lines(GgmlType::BF16, y, x).size(), 1u);  // column 5 rounds to the same
  EXPECT_NE(report_.findings[0].message.find("column 9"), std::string::npos);
}

TEST_F(Values, NanAndInfWhereTheSourceHasNone) {
  std::vector<float> x = ramp(64, 1), y = x;
  y[40] = std::nanf("");
  y[41] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(lines(GgmlType::F32, y, x),
            (Lines{"error m.gguf [t] row 1, column 8 is nan (and 1 more values in 2 rows), the source has -2.25"}));
  x[40] = std::nanf("");
  x[41] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(lines(GgmlType::F32, x, x), Lines());
  x[0] = 1e6f;  // more than F16 holds
  EXPECT_EQ(lines(GgmlType::F16, x, x), (Lines{"error m.gguf [t] row 0, column 0 is inf, the source has 1e+06"}));
  std::string blocks = small_file("m.gguf", {}, {{"t", GgmlType::Q8_0, {32}, ramp(32, 1)}}).bytes;
  blocks[blocks.size() - 64 + 1] = 0x7C;  // the block's f16 scale becomes infinite
  blocks[blocks.size() - 64] = 0;
  EXPECT_TRUE(lines(blocks, {32}, ramp(32, 1))[0].starts_with("error m.gguf [t] row 0, column 0 is "));
}

TEST_F(Values, ShapesAndNames) {
  const std::string bytes = small_file("m.gguf", {}, {{"t", GgmlType::F32, {32, 2}, ramp(64, 1)}}).bytes;
  EXPECT_EQ(lines(bytes, {64}, ramp(64, 1)), (Lines{"error m.gguf [t] shape is [32, 2], the source gives [64]"}));
  EXPECT_EQ(lines(bytes, {32, 2, 1, 1}, ramp(64, 1)), Lines());
  RowSource source;
  source.tensors = {{"u", {32, 2}, "other"}};
  EXPECT_EQ(run(source, {}), (Lines{"error m.gguf [t] is not in the source, or in the file twice",
                                    "error  [u] is in the source, but not in the GGUF files"}));
  folder_.write("m.gguf", "GGUF");
  EXPECT_EQ(run(source, {}).size(), 1u);  // the refused header; "u" may be behind it
}

TEST_F(Values, TypesThatCannotBeDecodedAreAWarning) {
  GgufTensor t{"t", GgmlType::I64, {8}, {0, 64}};
  const std::string header = bytes_text(gguf_header_bytes({}, std::vector{t}));
  EXPECT_EQ(lines(header + std::string(64, '\0'), {8}, ramp(8, 1)),
            (Lines{"warning m.gguf [t] values are not compared: type I64 cannot be decoded"}));
  EXPECT_TRUE(report_.tensors.empty());
}

TEST_F(Values, ABadSourceIsTheSourcesError) {
  folder_.write("m.gguf", small_file("m.gguf", {}, {{"t", GgmlType::F32, {4}, ramp(4, 1)}}).bytes);
  RowSource source;
  source.tensors = {{"t", {4}, "other"}};
  source.read_row = [](size_t, uint64_t, std::span<float>) { throw Error(Exit::kBadInput, "shard: truncated"); };
  expect_error(Exit::kBadInput, "shard: truncated", [&] { run(source, {}); });
}

TEST_F(Values, AFileThatShrinksWhileItIsRead) {
  const std::string bytes = small_file("m.gguf", {}, {{"t", GgmlType::F32, {4}, ramp(4, 1)}}).bytes;
  folder_.write("m.gguf", bytes);
  Report report;
  const auto files = open_files({.folder = folder_.path(), .files = {"m.gguf"}}, report);
  RowSource source;
  source.tensors = {{"t", {4}, "other"}};
  source.read_row = [](size_t, uint64_t, std::span<float>) {};
  std::filesystem::resize_file(folder_ / "m.gguf", bytes.size() - 31);
  check_values(files, source, {}, report);
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].severity, Severity::kError);
  std::filesystem::remove(folder_ / "m.gguf");
  check_values(files, source, {}, report);
  EXPECT_EQ(report.findings.size(), 2u);
}

}  // namespace
}  // namespace ggufmill
