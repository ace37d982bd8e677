#include "formats/contradictions.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "formats/block_name.h"
#include "formats/metadata_numbers.h"
namespace ggufmill {
namespace {

class Checker {
 public:
  Checker(const Metadata& metadata, std::span<const NamedShape> tensors, std::string architecture)
      : metadata_(metadata), tensors_(tensors), prefix_(std::move(architecture) + ".") {}

  std::vector<Finding> run() {
    check_blocks();
    check_per_block("attention.head_count", "attn_q.weight", true);
    check_per_block("attention.head_count", "attn_q_b.weight", true);
    check_per_block("attention.head_count", "attn_qkv.weight", false);
    check_per_block("attention.head_count_kv", "attn_k.weight", true);
    check_per_block("feed_forward_length", "ffn_up.weight", false);
    check_experts();
    check_embeddings();
    return std::move(findings_);
  }

 private:
  void add(std::string_view tensor, std::string message) {
    findings_.push_back({Severity::kError, "", std::string(tensor), std::move(message)});
  }
  std::optional<uint64_t> number(std::string_view key) const { return metadata_.find_uint(prefix_ + std::string(key)); }
  static std::string says(std::string_view key, uint64_t n) { return std::string(key) + " is " + std::to_string(n); }

  void check_blocks() {
    const auto n_blocks = number("block_count");
    if (!n_blocks) return;
    for (const char* key : {"attention.head_count", "attention.head_count_kv", "feed_forward_length"}) {
      const auto values = find_numbers(metadata_, prefix_ + key);
      if (values && values->is_array && values->values.size() != *n_blocks)
        add("",
            std::string(key) + " has " + std::to_string(values->values.size()) + " numbers, " + says("block_count", *n_blocks));
    }
    std::map<uint64_t, std::string_view> first_of;
    for (const NamedShape& t : tensors_) {
      if (const auto at = in_block(t.name)) first_of.try_emplace(at->block, t.name);
    }
    for (const auto& [block, name] : first_of) {
      if (block >= *n_blocks) add(name, "block " + std::to_string(block) + ", but " + says("block_count", *n_blocks));
    }
    check_empty_blocks(*n_blocks, first_of);
    check_mtp_blocks(*n_blocks);
  }

  void check_mtp_blocks(uint64_t n_blocks) {
    const auto n_mtp = number("nextn_predict_layers");
    if (!n_mtp || *n_mtp > n_blocks) return;
    std::set<uint64_t> said;
    for (const NamedShape& t : tensors_) {
      const auto at = in_block(t.name);
      if (!at || !at->rest.starts_with("nextn.") || at->block >= n_blocks - *n_mtp || !said.insert(at->block).second) continue;
      add(t.name,
          "is of multi-token prediction, but " + says("block_count", n_blocks) + " and " + says("nextn_predict_layers", *n_mtp));
    }
  }

  // A file may hold blocks of multi-token prediction alone, or all but them.
  void check_empty_blocks(uint64_t n_blocks, const std::map<uint64_t, std::string_view>& first_of) {
    const uint64_t n_mtp = std::min(number("nextn_predict_layers").value_or(0), n_blocks);
    const uint64_t n_trunk = n_blocks - n_mtp;
    if (n_mtp > 0 && !first_of.empty() && first_of.begin()->first >= n_trunk) return;
    const auto heads = find_numbers(metadata_, prefix_ + "attention.head_count");
    const auto widths = find_numbers(metadata_, prefix_ + "feed_forward_length");
    const bool by_block = heads && heads->is_array && widths && widths->is_array;
    uint64_t n_empty = 0, first_empty = 0, next = 0;
    // block_count is whatever the file says: only blocks that an array names are looked at one by one.
    const auto skip_to = [&](uint64_t end) {
      const uint64_t named = by_block ? std::min(end, std::max<uint64_t>(heads->values.size(), widths->values.size())) : 0;
      for (; next < named; ++next) {
        if ((heads->of(next) != 0 || widths->of(next) != 0) && n_empty++ == 0) first_empty = next;
      }
      if (by_block || next >= end) return;
      if (n_empty == 0) first_empty = next;
      n_empty += end - next;
    };
    for (const auto& [block, name] : first_of) {
      if (block >= n_trunk) break;
      skip_to(block);
      next = block + 1;
    }
    skip_to(first_of.empty() ? 0 : n_trunk);
    if (n_empty > 0) {
      add("", says("block_count", n_blocks) + ", but " + std::to_string(n_empty) + " blocks have no tensors, block " +
                  std::to_string(first_empty) + " first");
    }
  }

  // `key` is not 0 where `tensor` is; with `units` it counts what the rows are made of.
  void check_per_block(std::string_view key, std::string_view tensor, bool units) {
    const auto counts = find_numbers(metadata_, prefix_ + std::string(key));
    if (!counts) return;
    for (const NamedShape& t : tensors_) {
      const auto at = in_block(t.name);
      if (!at || at->rest != tensor || t.ne.size() < 2) continue;
      if (counts->is_array && at->block >= counts->values.size()) continue;  // said already
      const uint64_t n = counts->of(at->block), rows = t.ne[1];
      const bool fits = n != 0 && (!units || rows % n == 0);
      if (!fits) {
        add(t.name, "has " + std::to_string(rows) + " rows, but " + std::string(key) +
                        (counts->is_array ? " of block " + std::to_string(at->block) : "") + " is " + std::to_string(n));
      }
    }
  }

  void check_experts() {
    const auto n_experts = number("expert_count");
    if (!n_experts) return;
    const auto used = find_numbers(metadata_, prefix_ + "expert_used_count");
    if (used && !used->values.empty() && *std::ranges::max_element(used->values) > *n_experts)
      add("", says("expert_used_count", *std::ranges::max_element(used->values)) + ", but " + says("expert_count", *n_experts));
    bool has_experts = *n_experts == 0;
    for (const NamedShape& t : tensors_) {
      const auto at = in_block(t.name);
      if (!at) continue;
      has_experts |= at->rest.starts_with("ffn_gate_inp") || at->rest.find("_exps") != std::string_view::npos;
      const bool router = at->rest == "ffn_gate_inp.weight";
      const bool stacked = at->rest.ends_with("_exps.weight") && !at->rest.ends_with("_chexps.weight") && t.ne.size() == 3;
      if (!(router && t.ne.size() == 2) && !stacked) continue;
      const uint64_t n = router ? t.ne[1] : t.ne[2];
      if (router ? n < *n_experts : n != *n_experts)
        add(t.name, "is of " + std::to_string(n) + " experts, but " + says("expert_count", *n_experts));
    }
    if (!has_experts) add("", says("expert_count", *n_experts) + ", but no block has experts");
  }

  void check_embeddings() {
    const auto embeddings = std::ranges::find(tensors_, "token_embd.weight", &NamedShape::name);
    if (embeddings == tensors_.end() || embeddings->ne.size() != 2) return;
    if (const auto width = number("embedding_length"); width && *width != embeddings->ne[0])
      add(embeddings->name, "has rows of " + std::to_string(embeddings->ne[0]) + ", but " + says("embedding_length", *width));
    const MetadataValue* const tokens = metadata_.find("tokenizer.ggml.tokens");
    const auto n_tokens = tokens == nullptr ? std::nullopt : array_length(*tokens);
    if (n_tokens && *n_tokens != embeddings->ne[1])
      add(embeddings->name,
          "has " + std::to_string(embeddings->ne[1]) + " rows, but the vocabulary has " + std::to_string(*n_tokens) + " tokens");
  }

  const Metadata& metadata_;
  std::span<const NamedShape> tensors_;
  const std::string prefix_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> find_contradictions(const Metadata& metadata, std::span<const NamedShape> tensors) {
  const std::string* type = metadata.find_string("general.type");
  const std::string* architecture = metadata.find_string("general.architecture");
  if (architecture == nullptr || tensors.empty() || (type != nullptr && *type != "model")) return {};
  return Checker(metadata, tensors, *architecture).run();
}

}  // namespace ggufmill
