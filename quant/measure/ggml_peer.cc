#include "quant/measure/ggml_peer.h"

#include <dlfcn.h>

#include <algorithm>
#include <cassert>
#include <initializer_list>

#include "formats/error.h"

namespace ggufmill {
namespace {

// The head of ggml.h's struct ggml_type_traits.
struct TypeTraits {
  const char* type_name;
  int64_t block_elems;
  int64_t interleave;
  size_t block_bytes;
  bool is_quantized;
  void (*to_float)(const void*, float*, int64_t);
  void (*from_float)(const float*, void*, int64_t);
};

template <class Function>
void find(void* handle, const std::string& library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (function == nullptr) throw Error(Exit::kBadInput, library + ": has no function " + name, "it is not a libggml-base");
}

bool one_of(GgmlType type, std::initializer_list<GgmlType> types) { return std::ranges::find(types, type) != types.end(); }

}  // namespace

GgmlPeer::GgmlPeer(const std::string& library) {
  // A name without a slash is searched for in the system's folders; the user means a file.
  const std::string path = library.find('/') == std::string::npos ? "./" + library : library;
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw Error(Exit::kBadInput, library + ": cannot be loaded: " + dlerror());
  find(handle, library, "ggml_quantize_init", init_);
  find(handle, library, "ggml_quantize_chunk", quantize_);
  find(handle, library, "ggml_get_type_traits", traits_);
}

bool GgmlPeer::encodes(GgmlType type, bool with_importance) const {
  using enum GgmlType;
  if (one_of(type, {Q8_1, Q8_K, I8, I16, I32, I64, F64})) return false;
  return with_importance || !one_of(type, {IQ1_S, IQ2_XXS, IQ2_XS});
}

GgmlPeer::ToFloat GgmlPeer::to_float(GgmlType type) const {
  const auto* traits = static_cast<const TypeTraits*>(traits_(static_cast<int>(type)));
  assert((traits->block_bytes == info(type).block_bytes) && "the library's blocks are ours");
  return traits->to_float;
}

bool GgmlPeer::decodes(GgmlType type) const { return to_float(type) != nullptr; }

void GgmlPeer::encode(GgmlType type, std::span<const float> values, size_t columns, std::span<const float> importance,
                      std::span<std::byte> blocks) const {
  init_(static_cast<int>(type));
  quantize_(static_cast<int>(type), values.data(), blocks.data(), 0, static_cast<int64_t>(values.size() / columns),
            static_cast<int64_t>(columns), importance.empty() ? nullptr : importance.data());
}

void GgmlPeer::decode(GgmlType type, std::span<const std::byte> blocks, std::span<float> values) const {
  to_float(type)(blocks.data(), values.data(), static_cast<int64_t>(values.size()));
}

}  // namespace ggufmill
