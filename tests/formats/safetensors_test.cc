#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

#include "tests/formats/expect_error.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

SafetensorsHeader read_bytes(const std::string& bytes, const std::string& display_name = "a.safetensors") {
  const TempFolder folder;
  return read_safetensors_header(InputFile(folder.write("a.safetensors", bytes)), display_name);
}

TEST(Safetensors, ReadsAHeader) {
  const std::string header = R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
                             R"("scalar":{"shape":[],"data_offsets":[0,4],"dtype":"F32"}}   )";
  const std::string bytes = safetensors_bytes(header, std::string(16, 'x'));
  const SafetensorsHeader read = read_bytes(bytes);
  EXPECT_EQ(read.data_offset, 8 + header.size());
  EXPECT_EQ(read.header_hash, sha256(as_bytes(std::string_view(bytes).substr(0, read.data_offset))));
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_EQ(read.tensors[0].name, "scalar") << "in the order of their data";
  EXPECT_EQ(read.tensors[0].elems(), 1u);
  EXPECT_EQ(read.tensors[1].name, "b");
  EXPECT_EQ(read.tensors[1].dtype, DType::BF16);
  EXPECT_EQ(read.tensors[1].shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(read.tensors[1].extent, (Extent{read.data_offset + 4, 12}));
  EXPECT_EQ(read.tensors[1].elems(), 6u);
}

TEST(Safetensors, ReadsEveryDtype) {
  for (const DTypeInfo& row : dtypes()) {
    const std::string header = R"({"t":{"dtype":")" + std::string(row.name) + R"(","shape":[3],"data_offsets":[0,)" +
                               std::to_string(3 * row.bytes) + "]}}";
    EXPECT_EQ(read_bytes(safetensors_bytes(header, std::string(3 * row.bytes, 'x'))).tensors[0].dtype, row.dtype);
    EXPECT_EQ(&info(row.dtype), &row);
  }
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_TRUE(read_bytes(safetensors_bytes("{}", "")).tensors.empty());
  EXPECT_TRUE(read_bytes(safetensors_bytes(R"({"__metadata__":{}})", "")).tensors.empty());
  EXPECT_EQ(read_bytes(safetensors_bytes(R"({"重み/../x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x")).tensors.size(),
            1u);
  const std::string eight_dims = R"({"t":{"dtype":"U8","shape":[1,1,1,1,1,1,1,2],"data_offsets":[0,2]}})";
  EXPECT_EQ(read_bytes(safetensors_bytes(eight_dims, "xx")).tensors[0].shape.size(), 8u);
}

TEST(Safetensors, AcceptsTensorsWithoutElementsAnywhere) {
  const std::string header =
      R"({"z":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"mid":{"dtype":"F32","shape":[4,0],"data_offsets":[8,8]},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"end":{"dtype":"F32","shape":[0],"data_offsets":[16,16]},)"
      R"("start":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})";
  const SafetensorsHeader read = read_bytes(safetensors_bytes(header, std::string(16, 'x')));
  ASSERT_EQ(read.tensors.size(), 5u);
  EXPECT_EQ(read.tensors[0].name, "start");
  EXPECT_EQ(read.tensors[2].name, "mid");
  EXPECT_EQ(read.tensors[2].elems(), 0u);
  EXPECT_EQ(read.tensors[4].name, "end");
}

void expect_refused(const std::string& bytes, const std::string& reason) {
  expect_error(Exit::kBadInput, "a.safetensors: " + reason, [&] { read_bytes(bytes); });
}

TEST(Safetensors, RefusesWhatADownloadLeavesInPlaceOfAShard) {
  expect_refused("", "empty file (unfinished download?)");
  expect_refused("version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 4996000000\n",
                 "LFS pointer, run git lfs pull");
  for (const char* page : {"<!DOCTYPE html><html>", "\n  <html>", "<?xml version='1.0'?>", "<p>"}) {
    expect_refused(page, "an HTML or XML page, not safetensors (a server's error message saved as the file?)");
  }
  expect_refused(std::string(4096, '\0'), "header length is 0 (space reserved by an unfinished download?)");
  expect_refused("1234567", "file has 7 bytes, expected at least 8");
}

// 0x3c = '<' as the length's low byte: a header of 60 bytes is not a web page.
TEST(Safetensors, DoesNotTakeALengthForAPage) {
  std::string header = "{}";
  header.resize('<', ' ');
  EXPECT_TRUE(read_bytes(safetensors_bytes(header, "")).tensors.empty());
}

TEST(Safetensors, RefusesWrongHeaderLengths) {
  expect_refused(safetensors_bytes("{}", "", 1000), "header ends at 1008, file has 10 bytes (truncated download?)");
  expect_refused(safetensors_bytes("{}", "", 100'000'000), "header ends at 100000008, file has 10 bytes (truncated download?)");
  for (const uint64_t length :
       {uint64_t{100'000'001}, std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max() - 7}) {
    expect_refused(safetensors_bytes("{}", "", length),
                   "header length is " + std::to_string(length) + ", expected at most 100000000 (not a safetensors file?)");
  }
}

TEST(Safetensors, RefusesAHeaderThatIsNoObject) {
  expect_refused(safetensors_bytes(" {}", ""), "header begins with \" {}\", expected '{'");
  expect_refused(safetensors_bytes("[]", ""), "header begins with \"[]\", expected '{'");
  expect_refused(safetensors_bytes("\xEF\xBB\xBF{}", ""), "header begins with \"\xEF\xBB\xBF{}\", expected '{'");
  for (const char* header : {"{", "{}}", "{\"\xff\":1}", "{} x", "{\"a\":NaN}", "{\"a\":1e999}", "{\"\\ud800\":1}"}) {
    const Error error = error_of([&] { read_bytes(safetensors_bytes(header, "")); });
    EXPECT_TRUE(error.message().starts_with("a.safetensors: header: not valid JSON: ")) << header << " -> " << error.message();
    EXPECT_EQ(error.code(), Exit::kBadInput);
  }
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  expect_refused(safetensors_bytes(deep, ""), "header: not valid JSON: nested deeper than 64 levels");
}

TEST(Safetensors, RefusesWrongMetadata) {
  expect_refused(safetensors_bytes(R"({"__metadata__":[]})", ""), "__metadata__ is not an object");
  expect_refused(safetensors_bytes(R"({"__metadata__":{"a":1}})", ""), "__metadata__: value of \"a\" is not a string");
  expect_refused(safetensors_bytes(R"({"__metadata__":{"a":"1","b":"","a":"2"}})", ""), "__metadata__: key \"a\" stands twice");
  expect_refused(safetensors_bytes(R"({"__metadata__":{},"__metadata__":{}})", ""), "__metadata__ stands twice in the header");
}

// One tensor "t" whose entry is this text, eight bytes of data.
void expect_entry_refused(const std::string& entry, const std::string& reason) {
  expect_refused(safetensors_bytes("{\"t\":" + entry + "}", "01234567"), "tensor \"t\": " + reason);
}

TEST(Safetensors, RefusesWrongEntries) {
  expect_entry_refused("3", "its entry is not an object");
  expect_entry_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]})", "unknown field \"stride\"");
  expect_entry_refused(R"({"dtype":"F32","shape":[2],"dtype":"F32","data_offsets":[0,8]})", "field \"dtype\" stands twice");
  expect_entry_refused(R"({"shape":[2],"data_offsets":[0,8]})", "field \"dtype\" is missing");
  expect_entry_refused(R"({"dtype":"F32","data_offsets":[0,8]})", "field \"shape\" is missing");
  expect_entry_refused(R"({"dtype":"F32","shape":[2]})", "field \"data_offsets\" is missing");
}

TEST(Safetensors, RefusesWrongDtypes) {
  expect_entry_refused(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})", "dtype is not a string");
  for (const char* dtype : {"Q9", "f32", "", "F4"}) {
    expect_entry_refused(R"({"dtype":")" + std::string(dtype) + R"(","shape":[2],"data_offsets":[0,8]})",
                         "unknown dtype \"" + std::string(dtype) + "\"");
  }
}

TEST(Safetensors, RefusesWrongShapes) {
  expect_entry_refused(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", "shape is not an array");
  for (const char* dim : {"-2", "2.0", "\"2\"", "null", "[2]", "true"}) {
    expect_entry_refused(R"({"dtype":"F32","shape":[1,)" + std::string(dim) + R"(],"data_offsets":[0,8]})",
                         "shape[1] is not a non-negative integer");
  }
  expect_entry_refused(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]})",
                       "shape has 9 dimensions, expected at most 8");
  for (const char* shape :
       {"4611686018427387904,8", "18446744073709551615,2", "4611686018427387904", "4611686018427387904,8,0"}) {
    expect_entry_refused(R"({"dtype":"F32","shape":[)" + std::string(shape) + R"(],"data_offsets":[0,8]})",
                         "shape times dtype overflows 64 bits");
  }
  expect_entry_refused(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})",
                       "shape and dtype make 12 bytes, data_offsets hold 8");
}

TEST(Safetensors, RefusesWrongOffsets) {
  for (const char* offsets : {"8", "[0]", "[0,8,8]", "{}"}) {
    expect_entry_refused(R"({"dtype":"F32","shape":[2],"data_offsets":)" + std::string(offsets) + "}",
                         "data_offsets is not an array of two numbers");
  }
  for (const char* offsets : {"[-16,0]", "[0,8.0]", "[\"0\",8]"}) {
    expect_entry_refused(R"({"dtype":"F32","shape":[2],"data_offsets":)" + std::string(offsets) + "}",
                         "data_offsets are not non-negative integers");
  }
  expect_entry_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", "data_offsets end at 0 before they begin at 8");
  expect_entry_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[18446744073709551607,18446744073709551615]})",
                       "data_offsets overflow 64 bits");
}

TEST(Safetensors, RefusesWrongNames) {
  const auto named = [](const std::string& name) {
    return safetensors_bytes("{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  };
  expect_refused(named(""), "tensor \"\": the name is empty");
  expect_refused(named("a\\u0000b"), "tensor \"a\\x00b\": the name holds control characters");
  expect_refused(named("a\\nb"), "tensor \"a\\x0ab\": the name holds control characters");
  expect_refused(named("\\u001b[2J"), "tensor \"\\x1b[2J\": the name holds control characters");
  expect_refused(named("a\x7f"), "tensor \"a\\x7f\": the name holds control characters");
  expect_refused(named("\\u009b"), "tensor \"\\xc2\\x9b\": the name holds control characters");
}

TEST(Safetensors, RefusesATensorThatStandsTwice) {
  expect_refused(
      safetensors_bytes(
          R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"u":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
          R"("t":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
          "xyz"),
      "tensor \"t\": stands twice in the header");
}

// Two tensors of four bytes at these offsets over `data_bytes` bytes; the header has 125 + 8 bytes.
std::string two_tensors(const std::string& a, const std::string& b, size_t data_bytes) {
  std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[)" + a +
                       R"(]},"b":{"dtype":"F32","shape":[1],"data_offsets":[)" + b + "]}}";
  header.resize(192, ' ');
  return safetensors_bytes(header, std::string(data_bytes, 'x'));
}

TEST(Safetensors, RefusesDataThatDoesNotTileTheFile) {
  EXPECT_EQ(read_bytes(two_tensors("4,8", "0,4", 8)).tensors[0].name, "b");
  expect_refused(two_tensors("4,8", "8,12", 12), "tensor \"a\": data begins at 204, expected 200, where the header ends");
  expect_refused(two_tensors("0,4", "5,9", 9), "tensor \"b\": data begins at 205, expected 204, where tensor \"a\" ends (hole)");
  expect_refused(two_tensors("0,4", "3,7", 7),
                 "tensor \"b\": data begins at 203, expected 204, where tensor \"a\" ends (overlap)");
  expect_refused(two_tensors("0,4", "0,4", 4),
                 "tensor \"b\": data begins at 200, expected 204, where tensor \"a\" ends (overlap)");
  expect_refused(two_tensors("0,4", "4,8", 7), "tensor \"b\": data ends at 208, file has 207 bytes (truncated download?)");
  expect_refused(two_tensors("0,4", "4,8", 0), "tensor \"b\": data ends at 208, file has 200 bytes (truncated download?)");
  expect_refused(two_tensors("0,4", "4,8", 9), "data ends at 208, file has 209 bytes (bytes that belong to no tensor)");
}

TEST(Safetensors, EveryTruncationIsFound) {
  const std::string bytes = shard_bytes({"a", "b"});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(error_of([&] { read_bytes(bytes.substr(0, size)); }).code(), Exit::kBadInput) << size;
  }
  EXPECT_EQ(read_bytes(bytes).tensors.size(), 2u);
}

TEST(Safetensors, MessagesStayOnOneShortLine) {
  const std::string name(100'000, 'n');
  const Error error = error_of([&] { read_bytes(safetensors_bytes("{\"" + name + "\":1}", ""), "evil\n\x1b.safetensors"); });
  EXPECT_EQ(error.message(),
            "evil\\x0a\\x1b.safetensors: tensor \"" + std::string(160, 'n') + "...\": its entry is not an object");
}

}  // namespace
}  // namespace ggufmill
