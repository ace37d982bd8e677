// Model names and size labels; see naming.h.
#include "convert/naming.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace ggufmill {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_letter(char c) { return is_lower(c) || is_upper(c); }
char lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }
char upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Consumes digits from `at`; false where there is none.
bool skip_digits(std::string_view text, size_t& at) {
  const size_t start = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return at > start;
}

// (v|iter)?\d+(.\d+)*
bool is_version(std::string_view word) {
  size_t at = word.starts_with("iter") ? 4 : word.starts_with("v") ? 1 : 0;
  if (!skip_digits(word, at)) return false;
  while (at < word.size() && word[at] == '.') {
    if (!skip_digits(word, ++at)) return false;
  }
  return at == word.size();
}

// i?q\d(_\w)* or b?fp?(16|32)
bool is_quant_type(std::string_view word) {
  size_t at = word.starts_with("iq") ? 2 : word.starts_with("q") ? 1 : 0;
  if (at > 0 && at < word.size() && is_digit(word[at])) {
    for (++at;
         at + 1 < word.size() && word[at] == '_' && (is_letter(word[at + 1]) || is_digit(word[at + 1]) || word[at + 1] == '_');)
      at += 2;
    return at == word.size();
  }
  return is_one_of(word, {"f16", "f32", "fp16", "fp32", "bf16", "bf32", "bfp16", "bfp32"});
}

// (a|\d+x)?\d+([._]\d+)?[kmbt]\d? or a word for a size
bool is_size(std::string_view word) {
  if (is_one_of(word, {"small", "mini", "medium", "large", "xl", "xxl"})) return true;
  size_t at = 0;
  if (word.starts_with("a")) {
    at = 1;
  } else if (size_t x = 0; skip_digits(word, x) && x < word.size() && word[x] == 'x') {
    at = x + 1;
  }
  if (!skip_digits(word, at)) return false;
  if (at < word.size() && (word[at] == '.' || word[at] == '_') && !skip_digits(word, ++at)) return false;
  if (at == word.size() || std::string_view("kmbt").find(word[at]) == std::string_view::npos) return false;
  ++at;
  if (at < word.size() && is_digit(word[at])) ++at;
  return at == word.size();
}

struct Part {
  std::string text;
  bool basename = false, size_label = false, finetune = false, version = false, type = false;
  int kinds() const { return basename + size_label + finetune + version + type; }
};

// Normalizes a size ("7b1" -> "7.1B", "30b" -> "30B") and marks it: a number far off the true count is no size of this model.
void mark_size(Part& part, uint64_t total_parameters) {
  std::string& text = part.text;
  std::replace(text.begin(), text.end(), '_', '.');
  if (is_digit(text.back())) {
    std::swap(text.back(), text[text.size() - 2]);
    text.insert(text.size() - 2, 1, '.');
  }
  if (text.size() > 1 && is_digit(text[text.size() - 2])) text.back() = upper(text.back());
  const std::string number = text.substr(0, text.size() - 1);
  char* end = nullptr;
  const double value = std::strtod(number.c_str(), &end);
  if (total_parameters != 0 && is_digit(text[0]) && number.find('x') == std::string::npos &&
      end == number.c_str() + number.size()) {
    const double unit = std::pow(1000.0, static_cast<double>(std::string_view(" KMBT").find(text.back())));
    if (std::abs(value * unit - static_cast<double>(total_parameters)) > static_cast<double>(7 * total_parameters / 8)) {
      part.finetune = true;
      text.back() = lower(text.back());
    }
  }
  if (part.kinds() == 0) part.size_label = true;
}

std::vector<Part> marked_parts(std::string_view name, uint64_t total_parameters) {
  std::vector<Part> parts;
  for (size_t at = 0; at <= name.size();) {
    const size_t dash = std::min(name.find('-', at), name.size());
    if (dash > at) parts.push_back({std::string(name.substr(at, dash - at))});
    at = dash + 1;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    Part& part = parts[i];
    const std::string word = lowered(part.text);
    if (is_version(word)) {
      part.version = true;
    } else if (is_quant_type(word)) {
      part.type = true;
      std::transform(part.text.begin(), part.text.end(), part.text.begin(), upper);
    } else if (i > 0 && is_size(word)) {
      mark_size(part, total_parameters);
    } else if (i > 0 && is_one_of(word, {"chat", "instruct", "vision", "lora"})) {
      part.finetune = true;
    }
  }
  return parts;
}

// Size words ("mini") count only where no size is a number.
void drop_size_words(std::vector<Part>& parts) {
  const auto has_digit = [](const Part& p) { return p.size_label && std::any_of(p.text.begin(), p.text.end(), is_digit); };
  if (std::none_of(parts.begin(), parts.end(), has_digit)) return;
  for (Part& part : parts) {
    if (part.size_label && std::all_of(part.text.begin(), part.text.end(), is_letter)) part.size_label = false;
  }
}

// The leading words and versions are the base name, but for versions at its very end; unmarked words behind are the fine-tune.
void mark_basename(std::vector<Part>& parts) {
  bool at_start = true;
  for (Part& part : parts) {
    const unsigned char first = static_cast<unsigned char>(part.text[0]);
    if (at_start && ((part.kinds() == 0 && (is_letter(part.text[0]) || first >= 0x80)) || part.version)) {
      part.basename = true;
    } else {
      at_start = false;
      if (part.kinds() == 0) part.finetune = true;
    }
  }
  for (auto part = parts.rbegin(); part != parts.rend() && part->basename && part->kinds() > 1; ++part) part->basename = false;
}

template <typename Wanted>
std::optional<std::string> joined(const std::vector<Part>& parts, Wanted wanted, bool unique = false) {
  std::vector<std::string_view> texts;
  for (const Part& part : parts) {
    if (wanted(part) && !(unique && std::find(texts.begin(), texts.end(), part.text) != texts.end())) texts.push_back(part.text);
  }
  if (texts.empty()) return std::nullopt;
  std::string text;
  for (const std::string_view t : texts) text.append(text.empty() ? "" : "-").append(t);
  return text;
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

NameParts parse_model_id(std::string_view id, uint64_t total_parameters) {
  NameParts names;
  if (id.find(' ') != std::string_view::npos) {  // a sentence: a plain name
    names.full_name = std::string(id);
    return names;
  }
  const size_t slash = id.find('/');
  if (slash != std::string_view::npos) {
    if (slash > 0 && id[0] == '.')
      names.organization = std::nullopt;  // "./model" is a path
    else
      names.organization = std::string(id.substr(0, slash));
    id.remove_prefix(slash + 1);
  }
  names.full_name = std::string(id);
  std::vector<Part> parts = marked_parts(id, total_parameters);
  drop_size_words(parts);
  mark_basename(parts);
  names.basename = joined(parts, [](const Part& p) { return p.basename; });
  names.size_label = joined(
      parts, [](const Part& p) { return p.size_label; }, true);
  names.finetune = joined(parts, [](const Part& p) { return p.finetune; });
  names.version = joined(parts, [](const Part& p) { return p.version && !p.basename; });
  if (!names.size_label && !names.finetune && !names.version) names.basename.reset();  // too ambiguous
  return names;
}

std::string id_to_title(std::string_view id) {
  std::string spaced(id), title;
  std::replace(spaced.begin(), spaced.end(), '-', ' ');
  for (size_t at = 0; at < spaced.size();) {
    if (is_space(spaced[at])) {
      ++at;
      continue;
    }
    const size_t start = at;
    while (at < spaced.size() && !is_space(spaced[at])) ++at;
    std::string word = spaced.substr(start, at - start);
    const bool all_lower = std::any_of(word.begin(), word.end(), is_lower) && std::none_of(word.begin(), word.end(), is_upper);
    const bool version = is_digit(word[0]) || (word[0] == 'v' && is_version(word));
    if (all_lower && !version) {
      char before = ' ';
      for (char& c : word) {
        const bool first = !is_letter(before) && static_cast<unsigned char>(before) < 0x80;
        before = c;
        if (first) c = upper(c);
      }
    }
    title.append(title.empty() ? "" : " ").append(word);
  }
  return title;
}

ParameterCounts count_parameters(std::span<const ModelTensor> tensors) {
  ParameterCounts counts;
  uint64_t expert_sum = 0, stacked = 0;
  for (const ModelTensor& tensor : tensors) {
    const uint64_t elems = tensor.elems();
    counts.total += elems;
    if (tensor.name.find("_exps.") != std::string::npos && tensor.ne.size() >= 3) {
      counts.per_expert += elems / tensor.ne[2];
      expert_sum += tensor.ne[2];
      ++stacked;
    } else {
      counts.shared += elems;
    }
  }
  if (stacked > 0) counts.n_experts = expert_sum / stacked;
  return counts;
}

std::string size_label(const ParameterCounts& counts) {
  const uint64_t n = counts.n_experts > 0 ? counts.shared + counts.per_expert : counts.total;
  const double value = static_cast<double>(n);
  const auto [scaled, suffix] = value > 1e12  ? std::pair(value * 1e-12, 'T')
                                : value > 1e9 ? std::pair(value * 1e-9, 'B')
                                : value > 1e6 ? std::pair(value * 1e-6, 'M')
                                              : std::pair(value * 1e-3, 'K');
  // Digits before the point as Python's round() (half to even) gives them; 0 counts for none.
  const std::string whole = std::to_string(static_cast<uint64_t>(std::nearbyint(scaled)));
  const int digits = whole == "0" ? 0 : static_cast<int>(whole.size());
  char text[64];
  std::snprintf(text, sizeof text, "%.*f%c", std::max(2 - digits, 0), scaled, suffix);
  std::string label;
  if (counts.n_experts > 0) label.append(std::to_string(counts.n_experts)).append("x");
  return label.append(text);
}

}  // namespace ggufmill
