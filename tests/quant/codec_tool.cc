// codec_tool: one codec between stdin and stdout, for tests that compare it with other implementations.
//   codec_tool decode TYPE                       blocks -> f32
//   codec_tool encode TYPE COLUMNS [IMPORTANCE [EFFORT]]
//                                                rows of COLUMNS f32 -> blocks; IMPORTANCE is a file of COLUMNS f32 or -, EFFORT
//                                                fast, default or max
// All numbers are little-endian, without headers. Exit 2 on wrong usage or a size that is not whole rows or blocks.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "quant/codecs.h"

namespace ggufmill {
namespace {

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "codec_tool: %s\n", why.c_str());
  std::exit(2);
}

std::vector<std::byte> read_all(std::FILE* file) {
  std::vector<std::byte> bytes;
  std::vector<std::byte> chunk(1 << 20);
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), file))
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + got);
  return bytes;
}

std::vector<float> as_floats(const std::vector<std::byte>& bytes) {
  if (bytes.size() % sizeof(float) != 0) fail("the input is not whole f32 values");
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> read_floats(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) fail(std::string("cannot open ") + path);
  const std::vector<std::byte> bytes = read_all(file);
  std::fclose(file);
  return as_floats(bytes);
}

void write_all(const void* data, size_t bytes) {
  if (std::fwrite(data, 1, bytes, stdout) != bytes) fail("cannot write");
}

void decode(const Codec& codec) {
  const GgmlTypeInfo& type = info(codec.type);
  const std::vector<std::byte> blocks = read_all(stdin);
  if (blocks.size() % type.block_bytes != 0) fail("the input is not whole blocks");
  std::vector<float> values(blocks.size() / type.block_bytes * type.block_elems);
  codec.decode(blocks, values);
  write_all(values.data(), values.size() * sizeof(float));
}

Effort effort_of(const std::string& word) {
  if (word == "fast") return Effort::kFast;
  if (word == "default") return Effort::kDefault;
  if (word == "max") return Effort::kMax;
  fail("EFFORT is fast, default or max");
}

void encode(const Codec& codec, size_t columns, const std::vector<float>& importance, Effort effort) {
  const GgmlTypeInfo& type = info(codec.type);
  const std::vector<float> values = as_floats(read_all(stdin));
  if (columns == 0 || columns % type.block_elems != 0 || values.size() % columns != 0)
    fail("the input is not whole rows of whole blocks");
  if (!importance.empty() && importance.size() != columns) fail("IMPORTANCE is not one row");
  std::vector<std::byte> blocks(columns / type.block_elems * type.block_bytes);
  for (size_t start = 0; start < values.size(); start += columns) {
    codec.encode(std::span(values).subspan(start, columns), {.importance = importance, .effort = effort}, blocks);
    write_all(blocks.data(), blocks.size());
  }
}

void run(int argc, char** argv) {
  if (argc < 3) fail("usage: codec_tool decode TYPE | encode TYPE COLUMNS [IMPORTANCE [EFFORT]]");
  const GgmlTypeInfo* type = find_ggml_type(std::string_view(argv[2]));
  const Codec* codec = type == nullptr ? nullptr : find_codec(type->type);
  if (codec == nullptr) fail(std::string("no codec ") + argv[2]);
  const std::string verb = argv[1];
  if (verb == "decode" && argc == 3) {
    decode(*codec);
  } else if (verb == "encode" && codec->encode != nullptr && argc >= 4 && argc <= 6) {
    const bool flat = argc == 4 || std::string_view(argv[4]) == "-";
    encode(*codec, std::strtoull(argv[3], nullptr, 10), flat ? std::vector<float>() : read_floats(argv[4]),
           effort_of(argc == 6 ? argv[5] : "default"));
  } else {
    fail("usage: codec_tool decode TYPE | encode TYPE COLUMNS [IMPORTANCE [EFFORT]]");
  }
}

}  // namespace
}  // namespace ggufmill

int main(int argc, char** argv) {
  ggufmill::run(argc, argv);
  return 0;
}
