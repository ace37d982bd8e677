#include "formats/gguf.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <limits>

#include "tests/formats/expect_error.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

constexpr uint32_t kF32 = 0, kQ8_0 = 8;
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// A file of two tensors: 3 F32 (12 bytes, padded to 32) and 2 rows of one Q8_0 block (68 bytes, padded to 96).
GgufBytes two_tensors(uint32_t version = 3) {
  GgufBytes b;
  b.start(2, 2, version).kv_str("general.architecture", "llama").kv_u32("llama.block_count", 2);
  b.tensor("a.weight", {3}, kF32, 0).tensor("b.weight", {32, 2}, kQ8_0, 32).pad();
  b.f32(1).f32(2).f32(3).pad();
  return b.raw(std::string(68, 'q')).pad();
}

class GgufReader : public testing::Test {
 protected:
  GgufHeader read(const std::string& bytes) { return read_gguf_header(InputFile(folder_.write("m.gguf", bytes))); }
  std::string message(const std::string& bytes) {
    const Error error = error_of([&] { read(bytes); });
    EXPECT_EQ(error.code(), Exit::kBadInput);
    EXPECT_EQ(error.message().find('\n'), std::string::npos);
    return error.message();
  }
  std::string message(const GgufBytes& b) { return message(b.bytes); }
  TempFolder folder_;
};

TEST_F(GgufReader, ReadsAFileMadeByHand) {
  for (const uint32_t version : {2u, 3u}) {
    const std::string bytes = two_tensors(version).bytes;
    const GgufHeader h = read(bytes);
    EXPECT_EQ(h.version, version);
    EXPECT_EQ(*h.metadata.find_string("general.architecture"), "llama");
    EXPECT_EQ(h.metadata.find_uint("llama.block_count"), 2u);
    ASSERT_EQ(h.tensors.size(), 2u);
    EXPECT_EQ(h.tensors[1].name, "b.weight");
    EXPECT_EQ(h.tensors[1].type, GgmlType::Q8_0);
    EXPECT_EQ(h.tensors[1].ne, (std::vector<uint64_t>{32, 2}));
    EXPECT_EQ(h.tensors[1].rows(), 2u);
    EXPECT_EQ(h.tensors[1].elems(), 64u);
    EXPECT_EQ(h.data_offset % 32, 0u);
    EXPECT_EQ(h.tensors[0].extent, (Extent{h.data_offset, 12}));
    EXPECT_EQ(h.tensors[1].extent, (Extent{h.data_offset + 32, 68}));
    EXPECT_EQ(h.data_end, h.data_offset + 128);
    EXPECT_EQ(h.file_bytes, bytes.size());
  }
}

TEST_F(GgufReader, EveryValueTypeComesBackFromTheWriter) {
  Metadata m;
  m.set("u8", uint8_t{255});
  m.set("i8", int8_t{-128});
  m.set("u16", uint16_t{65535});
  m.set("i16", int16_t{-1});
  m.set("u32", uint32_t{1} << 31);
  m.set("i32", int32_t{-5});
  m.set("f32", 0.1f);
  m.set("bool", true);
  m.set("str", std::string("caf\xc3\xa9\n\0x", 8));
  m.set("u64", kMax);
  m.set("i64", std::numeric_limits<int64_t>::min());
  m.set("f64", 1e-300);
  m.set("a.u8", std::vector<uint8_t>{1, 2});
  m.set("a.i8", std::vector<int8_t>{-1});
  m.set("a.u16", std::vector<uint16_t>{1});
  m.set("a.i16", std::vector<int16_t>{-1});
  m.set("a.u32", std::vector<uint32_t>(100000, 7));  // longer than the window
  m.set("a.i32", std::vector<int32_t>{-1});
  m.set("a.f32", std::vector<float>{1, 2});
  m.set("a.bool", std::vector<bool>{true, false, true});
  m.set("a.str", std::vector<std::string>{"", "x", std::string(70000, 'y')});
  m.set("a.u64", std::vector<uint64_t>{kMax});
  m.set("a.i64", std::vector<int64_t>{});
  m.set("a.f64", std::vector<double>{0.5});
  EXPECT_EQ(m.entries().size(), std::variant_size_v<MetadataValue>);
  std::vector<GgufTensor> tensors = {{"t", GgmlType::BF16, {5, 2, 3, 4}, {0, 240}}, {"u", GgmlType::Q4_K, {256}, {256, 144}}};
  const auto header = gguf_header_bytes(m, tensors);
  std::string bytes(reinterpret_cast<const char*>(header.data()), header.size());
  bytes.resize(bytes.size() + 256 + 160);
  const GgufHeader h = read(bytes);
  EXPECT_EQ(h.metadata, m);
  EXPECT_EQ(h.data_offset, header.size());
  ASSERT_EQ(h.tensors.size(), 2u);
  EXPECT_EQ(h.tensors[0].ne, tensors[0].ne);
  EXPECT_EQ(h.tensors[1].extent, (Extent{h.data_offset + 256, 144}));
}

TEST(GgufWriter, BytesAreThoseOfTheFormat) {
  Metadata m;
  m.set("general.architecture", std::string("llama"));
  m.set("llama.block_count", uint32_t{2});
  const std::vector<GgufTensor> tensors = {{"a.weight", GgmlType::F32, {3}, {0, 12}},
                                           {"b.weight", GgmlType::Q8_0, {32, 2}, {32, 68}}};
  const auto header = gguf_header_bytes(m, tensors);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(header.data()), header.size()),
            two_tensors().bytes.substr(0, header.size()));
  EXPECT_EQ(header.size() + 128, two_tensors().bytes.size());
}

TEST(GgufWriter, EachKindOfValueHasItsBytes) {
  Metadata m;
  m.set("b", std::vector<bool>{true, false});
  m.set("s", std::vector<std::string>{"xy"});
  m.set("general.alignment", uint32_t{64});
  GgufBytes expected;
  expected.start(0, 3).str("b").u32(9).u32(7).u64(2).raw(std::string_view("\1\0", 2)).str("s").u32(9).u32(8).u64(1).str("xy");
  expected.kv_u32("general.alignment", 64).pad(64);
  const auto header = gguf_header_bytes(m, {}, 64);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(header.data()), header.size()), expected.bytes);
}

TEST(GgufWriterDeathTest, BrokenPromises) {
  const std::vector<GgufTensor> hole = {{"a", GgmlType::F32, {1}, {32, 4}}};
  EXPECT_DEATH(gguf_header_bytes({}, hole), "running padded sum");
  const std::vector<GgufTensor> size = {{"a", GgmlType::F32, {1}, {0, 5}}};
  EXPECT_DEATH(gguf_header_bytes({}, size), "size of the type and shape");
  const std::vector<GgufTensor> long_name = {{std::string(64, 'a'), GgmlType::F32, {1}, {0, 4}}};
  EXPECT_DEATH(gguf_header_bytes({}, long_name), "longer names");
  const std::vector<GgufTensor> dims = {{"a", GgmlType::F32, {1, 1, 1, 1, 1}, {0, 4}}};
  EXPECT_DEATH(gguf_header_bytes({}, dims), "1 to 4 dimensions");
  EXPECT_DEATH(gguf_header_bytes({}, {}, 64), "general.alignment");
  Metadata empty_key;
  empty_key.set("", uint32_t{1});
  EXPECT_DEATH(gguf_header_bytes(empty_key, {}), "1 to 65535 bytes");
}

TEST_F(GgufReader, VocabularyWithoutTensorsMayEndAfterItsKeys) {
  GgufBytes b;
  b.start(0, 1).kv_str("general.architecture", "llama");
  EXPECT_EQ(read(b.bytes).data_end, b.bytes.size());
  b.pad();
  EXPECT_EQ(read(b.bytes).data_offset, b.bytes.size());
}

TEST_F(GgufReader, TrailingBytesAreLeftToTheCaller) {
  const GgufHeader h = read(two_tensors().bytes + "tail");
  EXPECT_EQ(h.data_end + 4, h.file_bytes);
}

TEST_F(GgufReader, OtherAlignment) {
  GgufBytes b;
  b.start(2, 1).kv_u32("general.alignment", 64).tensor("a", {1}, kF32, 0).tensor("b", {1}, kF32, 64).pad(64);
  b.f32(1).pad(64).f32(2).pad(64);
  const GgufHeader h = read(b.bytes);
  EXPECT_EQ(h.alignment, 64u);
  EXPECT_EQ(h.data_offset % 64, 0u);
}

TEST_F(GgufReader, NotGguf) {
  EXPECT_EQ(message(""), "m.gguf: magic needs 4 bytes at 0, the file has 0 (truncated?)");
  EXPECT_EQ(message("GGU"), "m.gguf: magic needs 4 bytes at 0, the file has 3 (truncated?)");
  EXPECT_EQ(message("ggml\x1b..."), "m.gguf: not a GGUF file: it starts with \"ggml\"");
  EXPECT_EQ(message("FUGG...."), "m.gguf: a big-endian GGUF file, which is not read");
  EXPECT_EQ(message(GgufBytes().start(0, 0, 0x03000000)), "m.gguf: a big-endian GGUF file, which is not read");
  EXPECT_EQ(message(GgufBytes().start(0, 0, 1)), "m.gguf: GGUF version 1, this program reads 2 and 3");
  EXPECT_EQ(message(GgufBytes().start(0, 0, 4)), "m.gguf: GGUF version 4, this program reads 2 and 3");
  EXPECT_EQ(message(GgufBytes().start(0, 0, 0)), "m.gguf: GGUF version 0, this program reads 2 and 3");
}

TEST_F(GgufReader, EveryTruncationIsAnError) {
  const std::string bytes = two_tensors().bytes;
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_THROW(read(bytes.substr(0, n)), Error) << n;
}

TEST_F(GgufReader, HugeCounts) {
  for (const uint64_t n : {uint64_t{1} << 31, uint64_t{1} << 32, (uint64_t{1} << 61) + 1, uint64_t{1} << 63, kMax}) {
    EXPECT_EQ(message(GgufBytes().start(0, n).pad(64)),
              "m.gguf: " + std::to_string(n) + " keys do not fit into the 40 bytes left");
    EXPECT_EQ(message(GgufBytes().start(n, 0).pad(64)),
              "m.gguf: " + std::to_string(n) + " tensors do not fit into the 40 bytes left");
  }
  EXPECT_EQ(message(GgufBytes().start(4, 1).kv_str("k", std::string(200, 'x')).pad()),
            "m.gguf: 4 tensors do not fit into the 11 bytes after the keys");
}

TEST_F(GgufReader, HugeStringsAndArrays) {
  for (const uint64_t n : {kMax, kMax - 7, uint64_t{1} << 32, uint64_t{100} << 20, uint64_t{30}}) {
    EXPECT_EQ(message(GgufBytes().start(0, 1).u64(n).pad(61)),
              "m.gguf: key 0 needs " + std::to_string(n) + " bytes at 32, the file has 61 (truncated?)");
  }
  GgufBytes value;
  value.start(0, 1).str("k").u32(8).u64(13).raw("twelve bytes");
  EXPECT_EQ(message(value), "m.gguf: key \"k\" needs 13 bytes at 45, the file has 57 (truncated?)");
  for (const uint64_t n : {uint64_t{1} << 61, (uint64_t{1} << 30) + 1, uint64_t{3}}) {
    GgufBytes array;
    array.start(0, 1).str("k").u32(9).u32(10).u64(n).u64(0).u64(0);
    EXPECT_EQ(message(array), "m.gguf: key \"k\" has " + std::to_string(n) + " elements, more than the 16 bytes left can hold");
  }
  GgufBytes strings;
  strings.start(0, 1).str("k").u32(9).u32(8).u64(2).str("x").u32(9).u32(9);
  EXPECT_EQ(message(strings), "m.gguf: key \"k\" needs 38654705673 bytes at 66, the file has 66 (truncated?)");
}

TEST_F(GgufReader, BadKeysAndValues) {
  EXPECT_EQ(message(GgufBytes().start(0, 1).str("").u32(0).put<uint8_t>(1).raw("x")), "m.gguf: key 0 is empty");
  EXPECT_EQ(message(GgufBytes().start(0, 1).kv_u32(std::string(65536, 'k'), 1)),
            "m.gguf: key \"" + std::string(160, 'k') + "...\" has 65536 bytes, the format allows 65535");
  EXPECT_EQ(message(GgufBytes().start(0, 1).kv_u32(std::string_view("a\0b", 3), 1)),
            "m.gguf: key \"a\\x00b\" has control characters in its name");
  EXPECT_EQ(message(GgufBytes().start(0, 1).kv_u32("a\xff", 1)), "m.gguf: key 0 is not UTF-8: \"a\\xff\"");
  EXPECT_EQ(message(GgufBytes().start(0, 1).kv_str("k", "\xc0\x80")), "m.gguf: key \"k\" is not UTF-8: \"\\xc0\\x80\"");
  EXPECT_EQ(message(GgufBytes().start(0, 2).kv_u32("k", 1).kv_u32("k", 1)), "m.gguf: key \"k\" is there twice");
  EXPECT_EQ(message(GgufBytes().start(0, 1).str("k").u32(7).put<uint8_t>(2).raw("x")),
            "m.gguf: key \"k\" is a bool with value 2");
  EXPECT_EQ(message(GgufBytes().start(0, 1).str("k").u32(9).u32(7).u64(1).put<uint8_t>(255)),
            "m.gguf: key \"k\" is a bool with value 255");
  for (const uint32_t type : {13u, 255u, 0xFFFFFFFFu}) {
    EXPECT_EQ(message(GgufBytes().start(0, 1).str("k").u32(type).pad()),
              "m.gguf: key \"k\" has unknown value type " + std::to_string(type));
    EXPECT_EQ(message(GgufBytes().start(0, 1).str("k").u32(9).u32(type).pad()),
              "m.gguf: key \"k\" has unknown value type " + std::to_string(type));
  }
  GgufBytes nested;
  nested.start(0, 1).str("k");
  for (int i = 0; i < 10000; ++i) nested.u32(9);
  EXPECT_EQ(message(nested), "m.gguf: key \"k\" is an array of arrays, which is not supported");
}

TEST_F(GgufReader, BadAlignment) {
  for (const uint32_t a : {0u, 1u, 3u, 4u, 31u, 1u << 22, 1u << 31}) {
    EXPECT_EQ(message(GgufBytes().start(0, 1).kv_u32("general.alignment", a)),
              "m.gguf: general.alignment is " + std::to_string(a) + ", not a power of two from 8 to 2097152");
  }
  EXPECT_EQ(message(GgufBytes().start(0, 1).kv_i32("general.alignment", 32)), "m.gguf: general.alignment is i32, not u32");
  EXPECT_EQ(message(GgufBytes().start(0, 1).kv_str("general.alignment", "32")), "m.gguf: general.alignment is str, not u32");
  EXPECT_EQ(message(GgufBytes().start(0, 1).str("general.alignment").u32(10).u64(uint64_t{1} << 63)),
            "m.gguf: general.alignment is u64, not u32");
}

TEST_F(GgufReader, BadTensorEntries) {
  const auto one = [&](std::string_view name, std::initializer_list<uint64_t> ne, uint32_t type, uint64_t offset = 0) {
    return message(GgufBytes().start(1, 0).tensor(name, ne, type, offset).pad(1024).bytes + std::string(1024, '\0'));
  };
  const std::string t = "m.gguf: tensor \"t\": ";
  const uint64_t max = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(one("", {1}, kF32), "m.gguf: tensor 0 has no name");
  EXPECT_EQ(one(std::string(64, 't'), {1}, kF32),
            "m.gguf: tensor \"" + std::string(64, 't') + "\": name has 64 bytes, ggml allows 63");
  EXPECT_EQ(one("a\x1b[2J", {1}, kF32), "m.gguf: tensor \"a\\x1b[2J\": control characters in the name");
  EXPECT_EQ(one("a\x80", {1}, kF32), "m.gguf: name of tensor 0 is not UTF-8: \"a\\x80\"");
  EXPECT_EQ(one("t", {}, kF32), t + "0 dimensions, ggml has 1 to 4");
  EXPECT_EQ(one("t", {1, 1, 1, 1, 1}, kF32), t + "5 dimensions, ggml has 1 to 4");
  EXPECT_EQ(message(GgufBytes().start(1, 0).str("t").u32(0xFFFFFFFF).pad(1024)), t + "4294967295 dimensions, ggml has 1 to 4");
  EXPECT_EQ(one("t", {0}, kF32), t + "dimension 0 is 0");
  EXPECT_EQ(one("t", {1, 0}, kF32), t + "dimension 1 is 0");
  for (const auto& ne : std::initializer_list<std::initializer_list<uint64_t>>{{max},
                                                                               {max, 2},
                                                                               {uint64_t{1} << 63},
                                                                               {kMax},
                                                                               {uint64_t{1} << 32, uint64_t{1} << 31},
                                                                               {uint64_t{1} << 32, uint64_t{1} << 32},
                                                                               {uint64_t{1} << 32, uint64_t{1} << 32, 3},
                                                                               {(uint64_t{1} << 32) + 1, uint64_t{1} << 32}}) {
    EXPECT_EQ(one("t", ne, kF32), t + "more elements than 63 bits can count");
  }
  EXPECT_EQ(one("t", {max - 1}, 28), t + "more bytes than 64 bits can count");
  EXPECT_EQ(one("t", {33}, kQ8_0), t + "rows of 33 values are not whole blocks of Q8_0 (32)");
  EXPECT_EQ(one("t", {128}, 12), t + "rows of 128 values are not whole blocks of Q4_K (256)");
  for (const uint32_t type : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 255u, uint32_t{1} << 31, 0xFFFFFFFFu}) {
    EXPECT_EQ(one("t", {32}, type), t + "unknown type " + std::to_string(type));
  }
  EXPECT_EQ(one("t", {1}, kF32, 32), t + "offset is 32, expected 0 (the end of the tensor before it, padded)");
}

TEST_F(GgufReader, BadOffsetsAndExtents) {
  const auto two = [&](uint64_t offset_a, uint64_t offset_b) {
    return message(GgufBytes().start(2, 0).tensor("a", {8}, kF32, offset_a).tensor("b", {8}, kF32, offset_b).pad(1024).bytes +
                   std::string(4096, '\0'));
  };
  const auto expected = [](const char* name, uint64_t found, uint64_t want) {
    return std::string("m.gguf: tensor \"") + name + "\": offset is " + std::to_string(found) + ", expected " +
           std::to_string(want) + " (the end of the tensor before it, padded)";
  };
  EXPECT_EQ(two(0, 64), expected("b", 64, 32));  // a hole
  EXPECT_EQ(two(0, 0), expected("b", 0, 32));    // overlap
  EXPECT_EQ(two(0, 33), expected("b", 33, 32));  // not aligned
  EXPECT_EQ(two(32, 0), expected("a", 32, 0));   // swapped
  EXPECT_EQ(two(0, kMax - 31), expected("b", kMax - 31, 32));

  EXPECT_EQ(message(GgufBytes().start(1, 0).tensor("t", {8}, kF32, 0).pad().bytes + std::string(31, '\0')),
            "m.gguf: tensor \"t\": data ends at 96, the file has 95 bytes (truncated?)");
  EXPECT_EQ(message(GgufBytes().start(1, 0).tensor("t", {7}, kF32, 0).pad().bytes + std::string(28, '\0')),
            "m.gguf: tensor \"t\": padding ends at 96, the file has 92 bytes (truncated?)");
  EXPECT_EQ(message(GgufBytes().start(1, 0).tensor("t", {uint64_t{1} << 40}, kF32, 0).pad()),
            "m.gguf: tensor \"t\": data ends at 4398046511168, the file has 64 bytes (truncated?)");
  // 2^61 - 1 values of 8 bytes: padding the 2^64 - 8 bytes to 32 would wrap to 0.
  EXPECT_EQ(message(GgufBytes().start(1, 0).tensor("t", {(uint64_t{1} << 61) - 1}, 28, 0).pad()),
            "m.gguf: tensor \"t\": sizes of tensors overflow 64 bits");
  GgufBytes sum;
  sum.start(3, 0);
  for (const uint64_t k : {0, 1, 2}) sum.tensor("t" + std::to_string(k), {uint64_t{1} << 62}, 24, k << 62);
  EXPECT_EQ(message(sum.pad()), "m.gguf: tensor \"t0\": data ends at 4611686018427388032, the file has 128 bytes (truncated?)");
  EXPECT_EQ(
      message(GgufBytes().start(2, 0).tensor("t", {8}, kF32, 0).tensor("t", {8}, kF32, 32).pad().bytes + std::string(64, '\0')),
      "m.gguf: tensor \"t\" is there twice");
}

TEST_F(GgufReader, ManyTinyKeysAndTensorsAreFastAndDuplicatesAmongThemFound) {
  constexpr uint64_t kMany = 200000;
  const auto keys = [&](uint64_t last) {
    GgufBytes b;
    b.start(0, kMany);
    for (uint64_t i = 0; i + 1 < kMany; ++i) b.kv_u32("k" + std::to_string(i), 1);
    return b.kv_u32("k" + std::to_string(last), 1).bytes;
  };
  const auto tensors = [&](uint64_t last) {
    GgufBytes b;
    b.start(kMany, 0);
    for (uint64_t i = 0; i < kMany; ++i) b.tensor("t" + std::to_string(i + 1 < kMany ? i : last), {8}, kF32, 32 * i);
    return b.pad().bytes + std::string(32 * kMany, '\0');
  };
  const std::string good_keys = keys(kMany), good_tensors = tensors(kMany);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(read(good_keys).metadata.entries().size(), kMany);
  EXPECT_EQ(read(good_tensors).tensors.size(), kMany);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // a quadratic search takes minutes
  EXPECT_EQ(message(keys(77)), "m.gguf: key \"k77\" is there twice");
  EXPECT_EQ(message(tensors(77)), "m.gguf: tensor \"t77\" is there twice");
}

TEST_F(GgufReader, LargestHeaderIsBounded) {
  // A sparse file whose only string claims nearly all of it.
  const auto path = folder_.write("m.gguf", GgufBytes().start(0, 1).str("k").u32(8).u64(uint64_t{3} << 30).bytes);
  std::filesystem::resize_file(path, uint64_t{4} << 30);
  EXPECT_EQ(error_of([&] { read_gguf_header(InputFile(path)); }).message(),
            "m.gguf: key \"k\" needs 3221225472 bytes at 45, the largest header accepted is 268435456");
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 512 << 10);  // in KiB
}

TEST(GgufSplitName, ParsesWhatItMakes) {
  const auto split = parse_split_name("/x/My-Model-00002-of-00007.gguf");
  ASSERT_TRUE(split);
  EXPECT_EQ(split->folder, "/x");
  EXPECT_EQ(split->stem, "My-Model");
  EXPECT_EQ(split->number, 2u);
  EXPECT_EQ(split->count, 7u);
  EXPECT_EQ(split_file_name("My-Model", 2, 7), "My-Model-00002-of-00007.gguf");
  for (const char* other :
       {"model.gguf", "model-2-of-7.gguf", "model-00000-of-00007.gguf", "model-00008-of-00007.gguf", "-00001-of-00007.gguf",
        "model-00001-of-00007.bin", "model_00001-of-00007.gguf", "model-00001-to-00007.gguf", "model-0000x-of-00007.gguf",
        "model-00001-of-000007.gguf", "model-+0001-of-00007.gguf", ""}) {
    EXPECT_FALSE(parse_split_name(other)) << other;
  }
}

class GgufSplit : public testing::Test {
 protected:
  // One F32 tensor `name`; `extra` are its split keys.
  std::string member(std::string_view name, uint16_t no, uint16_t count, int32_t n_tensors) {
    GgufBytes b;
    b.start(1, 3).kv_u16("split.no", no).kv_u16("split.count", count).kv_i32("split.tensors.count", n_tensors);
    return b.tensor(name, {8}, kF32, 0).pad().raw(std::string(32, '\0')).bytes;
  }
  void write(uint32_t number, const std::string& bytes) { folder_.write(split_file_name("m", number, 2), bytes); }
  std::string message(const char* name = "m-00001-of-00002.gguf") {
    return error_of([&] { open_gguf_set(folder_.path() / name); }).message();
  }
  TempFolder folder_;
};

TEST_F(GgufSplit, AnyMemberOpensTheSet) {
  write(1, member("a", 0, 2, 2));
  write(2, member("b", 1, 2, 2));
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const GgufSet set = open_gguf_set(folder_.path() / name);
    ASSERT_EQ(set.headers.size(), 2u);
    EXPECT_EQ(set.paths[1].filename(), "m-00002-of-00002.gguf");
    EXPECT_EQ(set.headers[1].tensors[0].name, "b");
  }
  EXPECT_EQ(open_gguf_set(folder_.write("single.gguf", two_tensors().bytes)).headers.size(), 1u);
  EXPECT_EQ(open_gguf_set(folder_.write("one-00001-of-00001.gguf", two_tensors().bytes)).headers.size(), 1u);
}

TEST_F(GgufSplit, MissingMembersAreAllNamed) {
  EXPECT_EQ(message(), "m.gguf: 2 of 2 files of the split are missing: m-00001-of-00002.gguf, m-00002-of-00002.gguf");
  write(1, member("a", 0, 2, 2));
  EXPECT_EQ(message(), "m.gguf: 1 of 2 files of the split are missing: m-00002-of-00002.gguf");
  EXPECT_TRUE(message("x-00001-of-00099.gguf").ends_with("x-00020-of-00099.gguf and 79 more"))
      << message("x-00001-of-00099.gguf");
}

TEST_F(GgufSplit, KeysAreChecked) {
  write(1, member("a", 0, 2, 2));
  const std::string where = "m-00002-of-00002.gguf: ";
  write(2, member("b", 0, 2, 2));
  EXPECT_EQ(message(), where + "split.no is 0, expected 1");
  write(2, member("b", 1, 3, 2));
  EXPECT_EQ(message(), where + "split.count is 3, expected 2");
  write(2, member("b", 1, 2, 3));
  EXPECT_EQ(message(), where + "split.tensors.count is 3, expected 2");
  write(2, member("a", 1, 2, 2));
  EXPECT_EQ(message(), where + "tensor \"a\": is in an earlier file of the split too");
  write(2, member("b", 1, 2, -2));
  EXPECT_EQ(message(), where + "split.tensors.count is i32 -2, not a count");
  write(2, two_tensors().bytes);
  EXPECT_EQ(message(), where + "split.no is missing, expected 1");
  write(2, GgufBytes().start(0, 1).kv_str("split.no", "1").bytes);
  EXPECT_EQ(message(), where + "split.no is str \"1\", not a count");
  folder_.write("renamed.gguf", member("a", 0, 2, 2));
  EXPECT_EQ(message("renamed.gguf"),
            "renamed.gguf: split.count is 2, but the name is not that of a split (NAME-00001-of-00002.gguf)");
}

}  // namespace
}  // namespace ggufmill
