// Writes a checkpoint folder with random weights and any number of experts: what the scale bench converts, and what the
// tests interrupt. Tensor names, shapes, dtypes and their order in the shards are those of a large hybrid model with Mamba,
// attention and latent MoE blocks (architecture NemotronHForCausalLM); config.json and tokenizer are taken from a small
// checkpoint and fitted to the shape. Values are heavy-tailed BF16 noise, equal for equal seeds, or holes in sparse files. The
// same noise may be quantized as in the form that is downloaded most: routed experts NVFP4, shared experts and Mamba's
// projections FP8, the rest and the MTP block BF16.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ggufmill {

// The defaults are one MoE layer of the largest of the family, with fewer experts and a small vocabulary.
struct RandomCheckpoint {
  std::vector<std::string> layers = {"moe"};  // "mamba", "attention", "moe"
  bool mtp = false;                           // one multi-token prediction block behind the layers
  uint64_t hidden = 8192;
  uint64_t latent = 2048;         // width of the rows that routed experts see
  uint64_t expert_width = 5120;   // rows of an expert's up projection
  uint64_t shared_width = 10240;  // the same of the shared expert
  uint64_t experts = 64;
  uint64_t experts_used = 22;
  uint64_t vocab = 4096;
  uint64_t heads = 64, kv_heads = 2, head_dim = 128;
  uint64_t mamba_heads = 256, mamba_head_dim = 64, groups = 8, state = 128, conv_kernel = 4;
  uint64_t shard_bytes = 1'000'000'000;  // a shard is closed before the tensor that would exceed this
  uint64_t seed = 1;
  bool sparse = false;          // holes instead of values
  bool nvfp4 = false;           // quantized, see above
  bool full_tokenizer = false;  // made-up tokens and merges up to `vocab`, as many as a real tokenizer has
};

struct WrittenCheckpoint {
  uint64_t tensors = 0;
  uint64_t shards = 0;
  uint64_t bytes = 0;    // of tensor data
  uint64_t weights = 0;  // values, without scales
};

// The layer kinds of the largest of the family: 108 blocks.
std::vector<std::string> ultra_layers();

// Writes into `out`, which is created. `config_from` holds config.json, `tokenizer_from` the tokenizer files. Throws
// std::runtime_error naming the file that could not be read or written.
WrittenCheckpoint write_random_checkpoint(const RandomCheckpoint& shape, const std::filesystem::path& config_from,
                                          const std::filesystem::path& tokenizer_from, const std::filesystem::path& out);

}  // namespace ggufmill
