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
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>

namespace ggufmill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Tensor {
  std::string name;
  bool f32;
  std::vector<uint64_t> shape;
  uint64_t elems() const {
    uint64_t n = 1;
    for (uint64_t dim : shape) n *= dim;
    return n;
  }
  uint64_t bytes() const { return elems() * (f32 ? 4 : 2); }
};

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
        moe(block + "mixer.");
      else
        throw std::runtime_error("layer kind \"" + s_.layers[i] + "\": not mamba, attention or moe");
    }
    if (s_.mtp) mtp();
    add("backbone.norm_f.weight", {s_.hidden});
    add("lm_head.weight", {s_.vocab, s_.hidden});
  }
  std::vector<Tensor> tensors;

 private:
  void add(std::string name, std::vector<uint64_t> shape) { tensors.push_back({std::move(name), false, std::move(shape)}); }

  void mamba(const std::string& p) {
    const uint64_t inner = s_.mamba_heads * s_.mamba_head_dim, bc = 2 * s_.groups * s_.state;
    add(p + "in_proj.weight", {2 * inner + bc + s_.mamba_heads, s_.hidden});
    add(p + "conv1d.weight", {inner + bc, 1, s_.conv_kernel});
    add(p + "conv1d.bias", {inner + bc});
    add(p + "A_log", {s_.mamba_heads});
    add(p + "D", {s_.mamba_heads});
    add(p + "dt_bias", {s_.mamba_heads});
    add(p + "norm.weight", {inner});
    add(p + "out_proj.weight", {s_.hidden, inner});
  }

  void attention(const std::string& p) {
    add(p + "q_proj.weight", {s_.heads * s_.head_dim, s_.hidden});
    add(p + "k_proj.weight", {s_.kv_heads * s_.head_dim, s_.hidden});
    add(p + "v_proj.weight", {s_.kv_heads * s_.head_dim, s_.hidden});
    add(p + "o_proj.weight", {s_.hidden, s_.heads * s_.head_dim});
  }

  void moe(const std::string& p) {
    add(p + "gate.weight", {s_.experts, s_.hidden});
    tensors.push_back({p + "gate.e_score_correction_bias", true, {s_.experts}});
    add(p + "fc1_latent_proj.weight", {s_.latent, s_.hidden});
    add(p + "fc2_latent_proj.weight", {s_.hidden, s_.latent});
    add(p + "shared_experts.up_proj.weight", {s_.shared_width, s_.hidden});
    add(p + "shared_experts.down_proj.weight", {s_.hidden, s_.shared_width});
    for (uint64_t e = 0; e < s_.experts; ++e) {
      const std::string expert = p + "experts." + std::to_string(e);
      add(expert + ".up_proj.weight", {s_.expert_width, s_.latent});
      add(expert + ".down_proj.weight", {s_.latent, s_.expert_width});
    }
  }

  void mtp() {
    for (const char* name : {"enorm", "hnorm", "norm"}) add(std::string("mtp.layers.0.") + name + ".weight", {s_.hidden});
    add("mtp.layers.0.eh_proj.weight", {s_.hidden, 2 * s_.hidden});
    attention("mtp.layers.0.mixer.");
    add("mtp.layers.1.norm.weight", {s_.hidden});
    add("mtp.layers.1.final_layernorm.weight", {s_.hidden});
    moe("mtp.layers.1.mixer.");
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

void write_values(ShardFile& file, const Tensor& tensor, const std::vector<uint16_t>& pool, std::mt19937_64& random) {
  if (tensor.f32) {
    std::vector<float> values(tensor.elems());
    for (float& value : values) value = std::bit_cast<float>(uint32_t{pool[random() % pool.size()]} << 16);
    return file.write(values.data(), tensor.bytes());
  }
  for (uint64_t left = tensor.elems(); left > 0;) {
    const uint64_t start = random() % (pool.size() / 2);
    const uint64_t count = std::min<uint64_t>(left, pool.size() - start);
    file.write(pool.data() + start, 2 * count);
    left -= count;
  }
}

std::string header_of(const std::vector<Tensor>& shard, uint64_t& data_bytes) {
  std::string text = "{";
  data_bytes = 0;
  for (const Tensor& tensor : shard) {
    const uint64_t end = data_bytes + tensor.bytes();
    const json entry = {{"dtype", tensor.f32 ? "F32" : "BF16"}, {"shape", tensor.shape}, {"data_offsets", {data_bytes, end}}};
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
    std::sort(shard.begin(), shard.end(),
              [](const Tensor& a, const Tensor& b) { return std::pair(!a.f32, a.name) < std::pair(!b.f32, b.name); });
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
  const std::vector<uint16_t> pool = shape.sparse ? std::vector<uint16_t>() : noise_pool(shape.seed);
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
    for (const Tensor& tensor : shards[i]) {
      if (!shape.sparse) write_values(file, tensor, pool, random);
      weight_map[tensor.name] = name;
      written.tensors += 1;
      written.weights += tensor.elems();
    }
    written.bytes += data_bytes;
    file.flush_and_forget();
  }
  write_text(out / "model.safetensors.index.json",
             json{{"metadata", {{"total_size", written.bytes}}}, {"weight_map", weight_map}}.dump());
  return written;
}

}  // namespace ggufmill
