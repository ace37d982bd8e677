// A checkpoint in a temporary folder whose tensors a test names one by one, bytes and all, in one shard or several.
#pragma once

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "convert/weights.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {

class QuantizedFiles {
 public:
  // Bytes as text; all 0x38 where none are given: 1 as E4M3, 2^-71 as E8M0, small and finite as anything else.
  QuantizedFiles& add(const std::string& name, DType dtype, std::vector<uint64_t> shape, std::string bytes = "") {
    const uint64_t elems = std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
    if (bytes.empty()) bytes.assign(elems * info(dtype).bytes, '\x38');
    EXPECT_EQ(bytes.size(), elems * info(dtype).bytes) << name;
    tensors_[shard][name] = {dtype, std::move(shape), std::move(bytes)};
    return *this;
  }
  QuantizedFiles& add_f32(const std::string& name, const std::vector<float>& values, std::vector<uint64_t> shape = {}) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return add(name, DType::F32, std::move(shape), std::move(bytes));
  }

  // Writes what was added and opens it.
  Checkpoint open() const {
    folder.write("config.json", config.dump());
    size_t number = 0;
    for (const auto& [at, tensors] : tensors_) {
      nlohmann::ordered_json header = nlohmann::ordered_json::object();
      std::string data;
      for (const auto& [name, tensor] : tensors) {
        header[name] = {{"dtype", ggufmill::name(tensor.dtype)},
                        {"shape", tensor.shape},
                        {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
        data += tensor.bytes;
      }
      const std::string file = tensors_.size() == 1 ? "model.safetensors"
                                                    : "model-0000" + std::to_string(++number) + "-of-0000" +
                                                          std::to_string(tensors_.size()) + ".safetensors";
      folder.write(file, safetensors_bytes(header.dump(), data));
      for (const auto& [name, tensor] : tensors) index_[name] = file;
    }
    folder.write("model.safetensors.index.json", nlohmann::json{{"weight_map", index_}}.dump());
    return Checkpoint(folder.path());
  }

  TempFolder folder;
  nlohmann::json config = nlohmann::json::object();
  int shard = 0;  // where add() puts tensors

 private:
  struct Tensor {
    DType dtype;
    std::vector<uint64_t> shape;
    std::string bytes;
  };
  std::map<int, std::map<std::string, Tensor>> tensors_;
  mutable std::map<std::string, std::string> index_;
};

}  // namespace ggufmill
