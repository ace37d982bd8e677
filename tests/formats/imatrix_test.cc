#include "formats/imatrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/formats/expect_error.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

// Two entries: "a" plain with 2 columns, "b" of 3 experts with 2 columns; `counts` and `sums` are b's.
struct Parts {
  bool type = true, datasets = true, chunk_count = true, chunk_size = true;
  std::string_view general_type = "imatrix";
  std::array<float, 3> counts = {4, 0, 2};
  std::array<float, 6> sums = {1, 2, 0, 0, 5, 6};
  uint64_t n_counts = 3;
  std::string_view sums_name = "b.in_sum2", counts_name = "b.counts";
};

std::string imatrix_bytes(const Parts& p) {
  GgufBytes b;
  b.start(4, p.type + p.datasets + p.chunk_count + p.chunk_size);
  if (p.type) b.kv_str("general.type", p.general_type);
  if (p.datasets) b.str("imatrix.datasets").u32(9).u32(8).u64(1).str("/data/calib.txt");
  if (p.chunk_count) b.kv_u32("imatrix.chunk_count", 300);
  if (p.chunk_size) b.kv_u32("imatrix.chunk_size", 512);
  b.tensor("a.in_sum2", {2}, 0, 0).tensor("a.counts", {1}, 0, 32).tensor(p.sums_name, {2, 3}, 0, 64);
  b.tensor(p.counts_name, {1, p.n_counts}, 0, 96).pad();
  b.f32(0.5f).f32(0.25f).pad().f32(7).pad();
  for (const float s : p.sums) b.f32(s);
  b.pad();
  for (const float c : p.counts) b.f32(c);
  return b.pad().bytes;
}

class ImatrixFile : public testing::Test {
 protected:
  Imatrix open(const Parts& p) { return Imatrix(folder_.write("i.gguf", imatrix_bytes(p))); }
  std::string message(const Parts& p) {
    const Error error = error_of([&] { open(p); });
    EXPECT_EQ(error.code(), Exit::kBadInput);
    return error.message();
  }
  TempFolder folder_;
};

TEST_F(ImatrixFile, IndexAndRows) {
  const Imatrix m = open({});
  EXPECT_EQ(m.chunk_count(), 300u);
  ASSERT_EQ(m.datasets().size(), 1u);
  EXPECT_EQ(m.datasets()[0], "/data/calib.txt");
  ASSERT_EQ(m.entries().size(), 2u);
  const ImatrixEntry* b = m.find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->n_in, 2u);
  EXPECT_EQ(b->n_mat, 3u);
  EXPECT_EQ(b->counts, (std::vector<float>{4, 0, 2}));
  std::array<float, 2> row{};
  m.read_sums(*b, 2, row);
  EXPECT_EQ(row, (std::array<float, 2>{5, 6}));
  m.read_sums(*m.find("a"), 0, row);
  EXPECT_EQ(row, (std::array<float, 2>{0.5f, 0.25f}));
  EXPECT_EQ(m.find("c"), nullptr);
  EXPECT_EQ(m.find(""), nullptr);
}

TEST_F(ImatrixFile, ARealOneFromLlamaImatrix) {
  const Imatrix m(GGUFMILL_TEST_DATA "/mini-eval/imatrix.gguf");
  EXPECT_EQ(m.entries().size(), 44u);
  EXPECT_EQ(m.chunk_count(), 300u);
  uint64_t stacked = 0;
  for (const ImatrixEntry& e : m.entries()) {
    stacked += e.n_mat > 1;
    std::vector<float> row(e.n_in);
    double sum = 0;
    for (uint64_t k = 0; k < e.n_mat; ++k) {
      m.read_sums(e, k, row);
      for (const float s : row) sum += s;
    }
    EXPECT_GT(sum, 0) << e.tensor;
  }
  EXPECT_EQ(stacked, 8u);  // up and down of four MoE layers
  const ImatrixEntry* up = m.find("blk.1.ffn_up_exps.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->n_mat, 8u);
}

TEST_F(ImatrixFile, OtherFilesAreNotImportanceMatrices) {
  for (const char* bytes : {"", "x", "\x03\0\0\0legacy .dat"}) {
    const Error error = error_of([&] { Imatrix(folder_.write("i.dat", bytes)); });
    EXPECT_EQ(error.message(), "i.dat: not a GGUF importance matrix");
    EXPECT_NE(error.hint(), "");
  }
  EXPECT_EQ(message({.type = false}), "i.gguf: general.type is missing");
  EXPECT_EQ(message({.general_type = "model"}), "i.gguf: general.type is \"model\", expected \"imatrix\"");
}

TEST_F(ImatrixFile, MissingOrOddKeys) {
  EXPECT_EQ(message({.datasets = false}), "i.gguf: imatrix.datasets is missing");
  EXPECT_EQ(message({.chunk_count = false}), "i.gguf: imatrix.chunk_count is missing");
  EXPECT_EQ(message({.chunk_size = false}), "i.gguf: imatrix.chunk_size is missing");
  GgufBytes b;
  b.start(0, 2).kv_str("general.type", "imatrix").kv_str("imatrix.datasets", "calib.txt");
  EXPECT_EQ(error_of([&] { Imatrix(folder_.write("i.gguf", b.bytes)); }).message(),
            "i.gguf: imatrix.datasets is str, expected arr[str]");
  GgufBytes empty;
  empty.start(0, 4).kv_str("general.type", "imatrix").str("imatrix.datasets").u32(9).u32(8).u64(0);
  empty.kv_u32("imatrix.chunk_count", 1).kv_u32("imatrix.chunk_size", 1);
  EXPECT_EQ(error_of([&] { Imatrix(folder_.write("i.gguf", empty.bytes)); }).message(), "i.gguf: has no importance data");
}

TEST_F(ImatrixFile, InconsistentTensors) {
  EXPECT_EQ(message({.sums_name = "b.other"}), "i.gguf: tensor \"b.in_sum2\" is missing");
  EXPECT_EQ(message({.counts_name = "b.other"}), "i.gguf: tensor \"b.counts\" is missing");
  EXPECT_EQ(message({.n_counts = 2}), "i.gguf: tensor \"b.counts\" has shape [1, 2], expected [1, 3]");
  EXPECT_EQ(message({.counts = {4, -1, 2}}), "i.gguf: tensor \"b.counts\": count of matrix 1 is -1.000000");
  EXPECT_EQ(message({.counts = {4, 0, std::nanf("")}}), "i.gguf: tensor \"b.counts\": count of matrix 2 is nan");
  GgufBytes keys;
  keys.kv_str("general.type", "imatrix").str("imatrix.datasets").u32(9).u32(8).u64(0);
  keys.kv_u32("imatrix.chunk_count", 1).kv_u32("imatrix.chunk_size", 1);
  GgufBytes half;
  half.start(2, 4).raw(keys.bytes).tensor("a.in_sum2", {2}, 1, 0).tensor("a.counts", {1}, 0, 32).pad().raw(std::string(64, '\0'));
  EXPECT_EQ(error_of([&] { Imatrix(folder_.write("i.gguf", half.bytes)); }).message(),
            "i.gguf: tensor \"a.in_sum2\" is F16, expected F32");
  GgufBytes cube;
  cube.start(2, 4)
      .raw(keys.bytes)
      .tensor("a.in_sum2", {2, 1, 2}, 0, 0)
      .tensor("a.counts", {1}, 0, 32)
      .pad()
      .raw(std::string(64, '\0'));
  EXPECT_EQ(error_of([&] { Imatrix(folder_.write("i.gguf", cube.bytes)); }).message(),
            "i.gguf: tensor \"a.in_sum2\" has more than two dimensions");
}

TEST_F(ImatrixFile, BadSumsNameTensorAndColumn) {
  for (const float bad : {-1.0f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const Imatrix m = open({.sums = {1, 2, 0, 0, 5, bad}});
    std::array<float, 2> row{};
    m.read_sums(*m.find("b"), 0, row);
    EXPECT_EQ(error_of([&] { m.read_sums(*m.find("b"), 2, row); }).message(),
              "i.gguf: tensor \"b.in_sum2\": matrix 2, column 1 is " + std::to_string(bad) + ", expected a sum of squares");
  }
}

}  // namespace
}  // namespace ggufmill
