// ggml's own encoders and decoders, from a shared library that is loaded at run time: the peer that ours are measured beside, and
// an oracle for decoding. The library is libggml-base of a llama.cpp build, for instance that inside npm's
// @node-llama-cpp/linux-x64. Only three functions of its public C interface are used (ggml.h, llama.cpp b10573):
// ggml_quantize_init, ggml_quantize_chunk and ggml_get_type_traits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "formats/ggml_type.h"

namespace ggufmill {

class GgmlPeer {
 public:
  // Throws Error kBadInput where the library cannot be loaded or lacks one of the functions. It stays loaded until the process
  // ends.
  explicit GgmlPeer(const std::string& library);

  // Whether encode() may be called: some types abort the process without importance, and some cannot be written at all.
  bool encodes(GgmlType type, bool with_importance) const;
  bool decodes(GgmlType type) const;

  // Whole rows of `columns` values. `importance` is empty or one value per column. Builds the type's tables at the first call.
  void encode(GgmlType type, std::span<const float> values, size_t columns, std::span<const float> importance,
              std::span<std::byte> blocks) const;
  void decode(GgmlType type, std::span<const std::byte> blocks, std::span<float> values) const;

 private:
  using ToFloat = void (*)(const void* from, float* to, int64_t count);
  ToFloat to_float(GgmlType type) const;

  void (*init_)(int type) = nullptr;
  size_t (*quantize_)(int type, const float* from, void* to, int64_t start, int64_t rows, int64_t columns,
                      const float* importance) = nullptr;
  const void* (*traits_)(int type) = nullptr;
};

}  // namespace ggufmill
