#include "convert/source_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "convert/weight_rows.h"
#include "quant/codecs.h"
#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

std::vector<float> source_values(const SmallPlan& small, uint32_t source) {
  const SourceTensor& s = small.plan.sources[source].codes;
  const std::string bytes = small.shard_bytes(s.shard).substr(s.extent.file_offset, s.extent.bytes);
  std::vector<float> values(s.elems());
  find_codec(ggml_type_of(s.dtype)->type)->decode(std::as_bytes(std::span(bytes.data(), bytes.size())), values);
  return values;
}

TEST(SourceRows, ReadsOutputRowsFromTheirSources) {
  const SmallPlan small;
  const SourceRows rows(small.plan);
  // Row 16 + 3 of the stacked experts is row 3 of expert 1, which the other shard has.
  const std::vector<float> expert1 = source_values(small, 3);
  std::vector<float> row(64);
  rows.read(1, 19, row);
  EXPECT_EQ(row, std::vector<float>(expert1.begin() + 3 * 64, expert1.begin() + 4 * 64));
  rows.read(1, 15, row);
  const std::vector<float> expert0 = source_values(small, 1);
  EXPECT_EQ(row, std::vector<float>(expert0.end() - 64, expert0.end()));
}

TEST(SourceRows, RowMapInterleavesTheHalvesOfAHead) {
  const SmallPlan small;
  const SourceRows rows(small.plan);
  const std::vector<float> q = source_values(small, 2);
  std::vector<float> row(32);
  // Heads of 8 rows: output rows 0 1 2 3 ... of a head are its rows 0 4 1 5 2 6 3 7.
  const uint64_t expected[] = {0, 4, 1, 5, 2, 6, 3, 7};
  for (uint64_t r = 0; r < 32; ++r) {
    rows.read(2, r, row);
    const uint64_t from = r / 8 * 8 + expected[r % 8];
    EXPECT_EQ(row, std::vector<float>(q.begin() + static_cast<ptrdiff_t>(from * 32),
                                      q.begin() + static_cast<ptrdiff_t>(from * 32 + 32)))
        << r;
  }
}

TEST(SourceRows, OpsOnValues) {
  std::vector<float> values = {0, 1, -2, std::log(3.0f)};
  apply_op(ValueOp::kNone, values);
  EXPECT_EQ(values[1], 1);
  apply_op(ValueOp::kNegExp, values);
  EXPECT_EQ(values[0], -1);
  EXPECT_EQ(values[1], static_cast<float>(-std::exp(1.0))) << "in double, rounded once";
  EXPECT_FLOAT_EQ(values[3], -3);
}

TEST(SourceRows, DtypesThatAreRead) {
  EXPECT_EQ(ggml_type_of(DType::BF16)->type, GgmlType::BF16);
  EXPECT_EQ(ggml_type_of(DType::F16)->type, GgmlType::F16);
  EXPECT_EQ(ggml_type_of(DType::F32)->type, GgmlType::F32);
  EXPECT_EQ(ggml_type_of(DType::I32)->type, GgmlType::I32);
  EXPECT_EQ(ggml_type_of(DType::I64), nullptr) << "becomes I32";
}

TEST(SourceRows, MissingShardIsNamed) {
  SmallPlan small;
  std::filesystem::remove(small.plan.shards[1].path);
  const Error error = error_of([&] { SourceRows rows(small.plan); });
  EXPECT_EQ(error.code(), Exit::kBadInput);
  EXPECT_NE(error.message().find("b.safetensors"), std::string::npos) << error.message();
}

}  // namespace
}  // namespace ggufmill
