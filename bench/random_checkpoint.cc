// The tensor list is made in the order of the model, cut into shards by size, and each shard is then laid out as the
// safetensors writer does: wider dtypes first, then by name.
#include "bench/random_checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>

namespace ggufmill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// What a tensor's bytes are, as the safetensors writer sorts them: wider ones first.
enum class Bytes { kF32, kBf16, kFp8, kNvfp4Codes, kNvfp4Scales };
struct BytesRow {
  const char* dtype;
  uint64_t elem_bytes;
  uint64_t weights_per_elem;
};
constexpr BytesRow kBytes[] = {{"F32", 4, 1}, {"BF16", 2, 1}, {"F8_E4M3", 1, 1}, {"U8", 1, 2}, {"F8_E4M3", 1, 0}};

struct Tensor {
  std::string name;
  Bytes kind;
  std::vector<uint64_t> shape;
  float scale = 0;  // the value of a scalar
  const BytesRow& row() const { return kBytes[static_cast<size_t>(kind)]; }
  uint64_t elems() const {
    uint64_t n = 1;
    for (uint64_t dim : shape) n *= dim;
    return n;
  }
  uint64_t bytes() const { return elems() * row().elem_bytes; }
  uint64_t weights() const { return shape.empty() ? 0 : elems() * row().weights_per_elem; }
};

// Scales of whole tensors that fit the noise, whose largest values are near 1.
constexpr float kNvfp4TensorScale = 1.0f / (6 * 448), kFp8TensorScale = 1.0f / 448;

class TensorList {
 public:
  explicit TensorList(const RandomCheckpoint& shape) : s_(shape) {
    add("backbone.embeddings.weight", {s_.vocab, s_.hidden});
    for (size_t i = 0; i < s_.layers.size(); ++i) {
      const std::string block = "backbone.layers." + std::to_string(i) + ".";
      add(block + "norm.weight", {s_.hidden});
      if (s_.layers[i] == "mamba")
        mamba(block + "mixer.");
      else if (s_.layers[i] == "attention")
        attention(block + "mixer.");
      else if (s_.layers[i] == "moe")
        moe(block + "mixer.", s_.nvfp4);
      else
        throw std::runtime_error("layer kind \"" + s_.layers[i] + "\": not mamba, attention or moe");
    }
    if (s_.mtp) mtp();
    add("backbone.norm_f.weight", {s_.hidden});
    add("lm_head.weight", {s_.vocab, s_.hidden});
  }
  std::vector<Tensor> tensors;

 private:
  void add(std::string name, std::vector<uint64_t> shape, Bytes kind = Bytes::kBf16) {
    tensors.push_back({std::move(name), kind, std::move(shape)});
  }

  void add_scalar(std::string name, float value) { tensors.push_back({std::move(name), Bytes::kF32, {}, value}); }

  void add_fp8(const std::string& base, std::vector<uint64_t> shape, bool quantized) {
    add(base + ".weight", std::move(shape), quantized ? Bytes::kFp8 : Bytes::kBf16);
    if (!quantized) return;
    add_scalar(base + ".weight_scale", kFp8TensorScale);
    add_scalar(base + ".input_scale", 1);
  }

  void add_nvfp4(const std::string& base, uint64_t rows, uint64_t columns, bool quantized) {
    if (!quantized) return add(base + ".weight", {rows, columns});
    add(base + ".weight", {rows, columns / 2}, Bytes::kNvfp4Codes);
    add(base + ".weight_scale", {rows, columns / 16}, Bytes::kNvfp4Scales);
    add_scalar(base + ".weight_scale_2", kNvfp4TensorScale);
    add_scalar(base + ".input_scale", 1);
  }

  void mamba(const std::string& p) {
    const uint64_t inner = s_.mamba_heads * s_.mamba_head_dim, bc = 2 * s_.groups * s_.state;
    add_fp8(p + "in_proj", {2 * inner + bc + s_.mamba_heads, s_.hidden}, s_.nvfp4);
    add(p + "conv1d.weight", {inner + bc, 1, s_.conv_kernel});
    add(p + "conv1d.bias", {inner + bc});
    add(p + "A_log", {s_.mamba_heads});
    add(p + "D", {s_.mamba_heads});
    add(p + "dt_bias", {s_.mamba_heads});
    add(p + "norm.weight", {inner});
    add_fp8(p + "out_proj", {s_.hidden, inner}, s_.nvfp4);
  }

  void attention(const std::string& p) {
    add(p + "q_proj.weight", {s_.heads * s_.head_dim, s_.hidden});
    add(p + "k_proj.weight", {s_.kv_heads * s_.head_dim, s_.hidden});
    add(p + "v_proj.weight", {s_.kv_heads * s_.head_dim, s_.hidden});
    add(p + "o_proj.weight", {s_.hidden, s_.heads * s_.head_dim});
  }

  void moe(const std::string& p, bool quantized) {
    add(p + "gate.weight", {s_.experts, s_.hidden});
    add(p + "gate.e_score_correction_bias", {s_.experts}, Bytes::kF32);
    add(p + "fc1_latent_proj.weight", {s_.latent, s_.hidden});
    add(p + "fc2_latent_proj.weight", {s_.hidden, s_.latent});
    add_fp8(p + "shared_experts.up_proj", {s_.shared_width, s_.hidden}, quantized);
    add_fp8(p + "shared_experts.down_proj", {s_.hidden, s_.shared_width}, quantized);
    for (uint64_t e = 0; e < s_.experts; ++e) {
      const std::string expert = p + "experts." + std::to_string(e);
      add_nvfp4(expert + ".up_proj", s_.expert_width, s_.latent, quantized);
      add_nvfp4(expert + ".down_proj", s_.latent, s_.expert_width, quantized);
    }
  }

  void mtp() {
    for (const char* name : {"enorm", "hnorm", "norm"}) add(std::string("mtp.layers.0.") + name + ".weight", {s_.hidden});
    add("mtp.layers.0.eh_proj.weight", {s_.hidden, 2 * s_.hidden});
    attention("mtp.layers.0.mixer.");
    add("mtp.layers.1.norm.weight", {s_.hidden});
    add("mtp.layers.1.final_layernorm.weight", {s_.hidden});
    moe("mtp.layers.1.mixer.", false);
  }

  const RandomCheckpoint& s_;
};

json read_json(const fs::path& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error(path.string() + ": cannot be read");
  return json::parse(in);
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error(path.string() + ": cannot be written");
}

void write_config(const RandomCheckpoint& s, const fs::path& from, const fs::path& out) {
  json config = read_json(from / "config.json");
  config["layers_block_type"] = s.layers;
  config["num_nextn_predict_layers"] = s.mtp ? 1 : 0;
  const std::pair<const char*, uint64_t> fields[] = {
      {"head_dim", s.head_dim},
      {"hidden_size", s.hidden},
      {"intermediate_size", s.expert_width},
      {"conv_kernel", s.conv_kernel},
      {"mamba_head_dim", s.mamba_head_dim},
      {"mamba_num_heads", s.mamba_heads},
      {"moe_intermediate_size", s.expert_width},
      {"moe_latent_size", s.latent},
      {"moe_shared_expert_intermediate_size", s.shared_width},
      {"n_groups", s.groups},
      {"n_routed_experts", s.experts},
      {"num_attention_heads", s.heads},
      {"num_experts_per_tok", std::min(s.experts_used, s.experts)},
      {"num_key_value_heads", s.kv_heads},
      {"ssm_state_size", s.state},
      {"vocab_size", s.vocab},
  };
  for (const auto& [key, value] : fields) config[key] = value;
  if (s.nvfp4) config["quantization_config"] = {{"quant_method", "modelopt"}, {"quant_algo", "MIXED_PRECISION"}};
  write_text(out / "config.json", config.dump(1));
}

// Made-up words fill the vocabulary, made-up pairs the merges, about two a token as in a real tokenizer.
void write_tokenizer(const RandomCheckpoint& s, const fs::path& from, const fs::path& out) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "chat_template.jinja"}) {
    if (fs::exists(from / name)) fs::copy_file(from / name, out / name, fs::copy_options::overwrite_existing);
  }
  json tokenizer = read_json(from / "tokenizer.json");
  if (s.full_tokenizer) {
    json& vocab = tokenizer["model"]["vocab"];
    json& merges = tokenizer["model"]["merges"];
    for (uint64_t n = 0; vocab.size() < s.vocab; ++n) vocab.emplace(std::to_string(n).insert(0, 1, 'w'), vocab.size());
    std::vector<std::string> words;
    for (const auto& [word, id] : vocab.items()) words.push_back(word);
    const bool pairs = !merges.empty() && merges[0].is_array();
    for (uint64_t i = 0; merges.size() < 2 * s.vocab; ++i) {
      const std::string& left = words[i * 7919 % words.size()];
      const std::string& right = words[(i * 104729 + 13) % words.size()];
      merges.push_back(pairs ? json{left, right} : json(left + " " + right));
    }
  }
  write_text(out / "tokenizer.json", tokenizer.dump());
}

// A pool of BF16 noise: normal values of width 0.02 with a few outliers and rows' worth of uneven scale. Tensors are random
// slices of it, which costs a memcpy.
std::vector<uint16_t> noise_pool(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  std::vector<uint16_t> pool(size_t{1} << 22);
  for (uint16_t& word : pool) {
    const float tail = uniform(random) < 2e-4f ? 8.0f : 1.0f;
    const float value = normal(random) * tail / std::pow(std::max(0.25f, uniform(random)), 0.25f);
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    word = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  return pool;
}

// The nearest E4M3 code of a value that is not negative, 448 at most.
uint8_t e4m3_of(float value) {
  int exponent = 0;
  std::frexp(value, &exponent);
  const int scale = std::max(exponent - 1, -6) - 3;                                   // of the mantissa's last bit
  const auto mantissa = static_cast<int>(std::nearbyint(std::ldexp(value, -scale)));  // 8 .. 16, below in denormals
  return static_cast<uint8_t>(std::min(0x7E, (scale + 9) * 8 + mantissa));
}
float e4m3_value(uint8_t code) {
  return code < 8 ? std::ldexp(static_cast<float>(code), -9) : std::ldexp(static_cast<float>(8 + code % 8), code / 8 - 10);
}

// The noise in the bytes of each kind; a tensor is a slice of one of them. Codes and scales of a tensor are slices of their own,
// so they do not belong to the same values, but both are distributed as in a quantized checkpoint.
struct NoisePools {
  std::vector<uint8_t> bytes[std::size(kBytes)];

  NoisePools(const RandomCheckpoint& shape) {
    const std::vector<uint16_t> noise = noise_pool(shape.seed);
    of(Bytes::kBf16).resize(2 * noise.size());
    std::memcpy(of(Bytes::kBf16).data(), noise.data(), 2 * noise.size());
    if (!shape.nvfp4) return;
    for (size_t i = 0; i < noise.size(); i += 16) {
      float values[16], largest = 0;
      for (size_t j = 0; j < 16; ++j) {
        values[j] = std::bit_cast<float>(uint32_t{noise[i + j]} << 16);
        largest = std::max(largest, std::fabs(values[j]));
        const auto sign = static_cast<uint8_t>(values[j] < 0 ? 0x80 : 0);
        of(Bytes::kFp8).push_back(sign | e4m3_of(std::min(448.0f, std::fabs(values[j]) / kFp8TensorScale)));
      }
      const uint8_t scale = std::max<uint8_t>(1, e4m3_of(std::min(448.0f, largest / 6 / kNvfp4TensorScale)));
      of(Bytes::kNvfp4Scales).push_back(scale);
      for (size_t j = 0; j < 16; j += 2) {
        const float step = e4m3_value(scale) * kNvfp4TensorScale;
        of(Bytes::kNvfp4Codes).push_back(static_cast<uint8_t>(e2m1_of(values[j] / step) | e2m1_of(values[j + 1] / step) << 4));
      }
    }
  }
  std::vector<uint8_t>& of(Bytes kind) { return bytes[static_cast<size_t>(kind)]; }
  const std::vector<uint8_t>& of(Bytes kind) const { return bytes[static_cast<size_t>(kind)]; }

  // The nearest of 0 .5 1 1.5 2 3 4 6, with its sign in bit 3.
  static uint8_t e2m1_of(float value) {
    constexpr float kMiddles[] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5};
    const auto at = std::ranges::upper_bound(kMiddles, std::fabs(value)) - std::begin(kMiddles);
    return static_cast<uint8_t>(at | (value < 0 ? 8 : 0));
  }
};

class ShardFile {
 public:
  explicit ShardFile(const fs::path& path)
      : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
    if (fd_ < 0) fail();
  }
  ShardFile(const ShardFile&) = delete;
  ShardFile& operator=(const ShardFile&) = delete;
  ~ShardFile() { ::close(fd_); }

  void write(const void* data, uint64_t bytes) {
    const char* next = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t done = ::write(fd_, next, bytes);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) fail();
      next += done;
      bytes -= static_cast<uint64_t>(done);
    }
  }
  void write_at(uint64_t offset, float value) {
    if (::pwrite(fd_, &value, sizeof value, static_cast<off_t>(offset)) != sizeof value) fail();
  }
  void set_size(uint64_t bytes) {
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) fail();
  }
  // On disk and out of the page cache: who reads it next reads the disk, as with a checkpoint larger than memory.
  void flush_and_forget() {
    if (::fdatasync(fd_) != 0) fail();
    ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  }

 private:
  [[noreturn]] void fail() const { throw std::runtime_error(path_.string() + ": " + std::strerror(errno)); }
  fs::path path_;
  int fd_;
};

void write_values(ShardFile& file, const Tensor& tensor, const NoisePools& pools, std::mt19937_64& random) {
  const std::vector<uint8_t>& pool = pools.of(tensor.kind == Bytes::kF32 ? Bytes::kBf16 : tensor.kind);
  if (tensor.shape.empty()) return file.write(&tensor.scale, sizeof tensor.scale);
  if (tensor.kind == Bytes::kF32) {
    std::vector<float> values(tensor.elems());
    for (float& value : values) {
      uint16_t word;
      std::memcpy(&word, &pool[random() % (pool.size() / 2) * 2], sizeof word);
      value = std::bit_cast<float>(uint32_t{word} << 16);
    }
    return file.write(values.data(), tensor.bytes());
  }
  const uint64_t width = tensor.row().elem_bytes, elems = pool.size() / width;
  for (uint64_t left = tensor.elems(); left > 0;) {
    const uint64_t start = random() % (elems / 2);
    const uint64_t count = std::min<uint64_t>(left, elems - start);
    file.write(pool.data() + width * start, width * count);
    left -= count;
  }
}

std::string header_of(const std::vector<Tensor>& shard, uint64_t& data_bytes) {
  std::string text = "{";
  data_bytes = 0;
  for (const Tensor& tensor : shard) {
    const uint64_t end = data_bytes + tensor.bytes();
    const json entry = {{"dtype", tensor.row().dtype}, {"shape", tensor.shape}, {"data_offsets", {data_bytes, end}}};
    if (text.size() > 1) text += ',';
    text.append(json(tensor.name).dump()).append(":").append(entry.dump());
    data_bytes = end;
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

std::vector<std::vector<Tensor>> cut_into_shards(std::vector<Tensor> tensors, uint64_t shard_bytes) {
  std::vector<std::vector<Tensor>> shards(1);
  uint64_t used = 0;
  for (Tensor& tensor : tensors) {
    if (!shards.back().empty() && used + tensor.bytes() > shard_bytes) {
      shards.emplace_back();
      used = 0;
    }
    used += tensor.bytes();
    shards.back().push_back(std::move(tensor));
  }
  for (auto& shard : shards) {
    std::sort(shard.begin(), shard.end(), [](const Tensor& a, const Tensor& b) {
      return std::pair(a.row().elem_bytes, b.name) > std::pair(b.row().elem_bytes, a.name);
    });
  }
  return shards;
}

}  // namespace

std::vector<std::string> ultra_layers() {
  std::istringstream text(
      "mamba moe mamba moe mamba moe mamba attention moe mamba moe mamba moe mamba attention moe mamba moe mamba moe mamba "
      "moe mamba attention moe mamba moe mamba moe mamba moe mamba attention moe mamba moe mamba moe mamba attention moe "
      "mamba moe mamba moe mamba moe mamba attention moe mamba moe mamba moe mamba moe mamba attention moe mamba moe mamba "
      "moe mamba attention moe mamba moe mamba moe mamba moe mamba attention moe mamba moe mamba moe mamba moe mamba "
      "attention moe mamba moe mamba moe mamba attention moe mamba moe mamba moe mamba moe mamba attention moe mamba moe "
      "mamba moe mamba moe mamba moe");
  return {std::istream_iterator<std::string>(text), {}};
}

WrittenCheckpoint write_random_checkpoint(const RandomCheckpoint& shape, const fs::path& config_from,
                                          const fs::path& tokenizer_from, const fs::path& out) {
  fs::create_directories(out);
  write_config(shape, config_from, out);
  write_tokenizer(shape, tokenizer_from, out);
  const auto shards = cut_into_shards(TensorList(shape).tensors, shape.shard_bytes);
  std::optional<NoisePools> pools;
  if (!shape.sparse) pools.emplace(shape);
  std::mt19937_64 random(shape.seed);
  WrittenCheckpoint written{0, shards.size(), 0, 0};
  json weight_map = json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    uint64_t data_bytes = 0;
    const std::string header = header_of(shards[i], data_bytes);
    const uint64_t header_bytes = header.size();
    ShardFile file(out / name);
    file.write(&header_bytes, sizeof header_bytes);
    file.write(header.data(), header.size());
    if (shape.sparse) file.set_size(8 + header_bytes + data_bytes);
    uint64_t offset = 8 + header_bytes;
    for (const Tensor& tensor : shards[i]) {
      if (!shape.sparse)
        write_values(file, tensor, *pools, random);
      else if (tensor.shape.empty())
        file.write_at(offset, tensor.scale);  // a scale of zero is none
      offset += tensor.bytes();
      weight_map[tensor.name] = name;
      written.tensors += 1;
      written.weights += tensor.weights();
    }
    written.bytes += data_bytes;
    file.flush_and_forget();
  }
  write_text(out / "model.safetensors.index.json",
             json{{"metadata", {{"total_size", written.bytes}}}, {"weight_map", weight_map}}.dump());
  return written;
}

}  // namespace ggufmill
