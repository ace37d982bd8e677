#include "formats/contradictions.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <type_traits>

namespace ggufmill {
namespace {

// A number for each block: of an array, or one for all.
struct PerBlock {
  std::vector<uint64_t> values;
  bool is_array = false;
  uint64_t of(uint64_t block) const { return is_array ? (block < values.size() ? values[block] : 0) : values[0]; }
};

std::optional<PerBlock> per_block(const Metadata& metadata, const std::string& key) {
  const MetadataValue* const value = metadata.find(key);
  if (value == nullptr) return std::nullopt;
  PerBlock out;
  std::visit(
      [&]<typename T>(const T& v) {
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          out.values.push_back(static_cast<uint64_t>(v));
        } else if constexpr (requires { requires std::is_integral_v<typename T::value_type>; }) {
          if constexpr (!std::is_same_v<T, std::string> && !std::is_same_v<T, std::vector<bool>>) {
            out.is_array = true;
            for (const auto n : v) out.values.push_back(static_cast<uint64_t>(n));
          }
        }
      },
      *value);
  if (out.values.empty() && !out.is_array) return std::nullopt;  // no numbers
  return out;
}

// "blk.7.attn_k.weight" -> 7 and "attn_k.weight"; nullopt for tensors outside of blocks.
std::optional<std::pair<uint64_t, std::string_view>> in_block(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  uint64_t block = 0;
  const char* const end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + 4, end, block);
  if (error != std::errc() || after == end || *after != '.') return std::nullopt;
  return std::pair(block, std::string_view(after + 1, end));
}

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
      const auto values = per_block(metadata_, prefix_ + key);
      if (values && values->is_array && values->values.size() != *n_blocks)
        add("",
            std::string(key) + " has " + std::to_string(values->values.size()) + " numbers, " + says("block_count", *n_blocks));
    }
    std::map<uint64_t, std::string_view> first_of;
    for (const NamedShape& t : tensors_) {
      if (const auto at = in_block(t.name)) first_of.try_emplace(at->first, t.name);
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
      if (!at || !at->second.starts_with("nextn.") || at->first >= n_blocks - *n_mtp || !said.insert(at->first).second) continue;
      add(t.name,
          "is of multi-token prediction, but " + says("block_count", n_blocks) + " and " + says("nextn_predict_layers", *n_mtp));
    }
  }

  // A file may hold blocks of multi-token prediction alone, or all but them.
  void check_empty_blocks(uint64_t n_blocks, const std::map<uint64_t, std::string_view>& first_of) {
    const uint64_t n_mtp = std::min(number("nextn_predict_layers").value_or(0), n_blocks);
    const uint64_t n_trunk = n_blocks - n_mtp;
    if (n_mtp > 0 && !first_of.empty() && first_of.begin()->first >= n_trunk) return;
    const auto heads = per_block(metadata_, prefix_ + "attention.head_count");
    const auto widths = per_block(metadata_, prefix_ + "feed_forward_length");
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
    const auto counts = per_block(metadata_, prefix_ + std::string(key));
    if (!counts) return;
    for (const NamedShape& t : tensors_) {
      const auto at = in_block(t.name);
      if (!at || at->second != tensor || t.ne.size() < 2) continue;
      if (counts->is_array && at->first >= counts->values.size()) continue;  // said already
      const uint64_t n = counts->of(at->first), rows = t.ne[1];
      const bool fits = n != 0 && (!units || rows % n == 0);
      if (!fits) {
        add(t.name, "has " + std::to_string(rows) + " rows, but " + std::string(key) +
                        (counts->is_array ? " of block " + std::to_string(at->first) : "") + " is " + std::to_string(n));
      }
    }
  }

  void check_experts() {
    const auto n_experts = number("expert_count");
    if (!n_experts) return;
    const auto used = per_block(metadata_, prefix_ + "expert_used_count");
    if (used && !used->values.empty() && *std::ranges::max_element(used->values) > *n_experts)
      add("", says("expert_used_count", *std::ranges::max_element(used->values)) + ", but " + says("expert_count", *n_experts));
    bool has_experts = *n_experts == 0;
    for (const NamedShape& t : tensors_) {
      const auto at = in_block(t.name);
      if (!at) continue;
      has_experts |= at->second.starts_with("ffn_gate_inp") || at->second.find("_exps") != std::string_view::npos;
      const bool router = at->second == "ffn_gate_inp.weight";
      const bool stacked = at->second.ends_with("_exps.weight") && !at->second.ends_with("_chexps.weight") && t.ne.size() == 3;
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
