#include "convert/recipes/file_types.h"

#include <algorithm>
#include <array>

#include "convert/recipes/file_type_facts.h"

namespace ggufmill {
namespace {

using enum GgmlType;

constexpr auto kFileTypes = std::to_array<FileType>({
    {"Q1_0", "", 40, Q1_0},       {"Q2_0", "", 41, Q2_0},     {"Q4_0", "", 2, Q4_0},        {"Q4_1", "", 3, Q4_1},
    {"Q5_0", "", 8, Q5_0},        {"Q5_1", "", 9, Q5_1},      {"Q8_0", "", 7, Q8_0, true},  {"MXFP4_MOE", "", 38, MXFP4},
    {"TQ1_0", "", 36, TQ1_0},     {"TQ2_0", "", 37, TQ2_0},   {"IQ1_S", "", 24, IQ1_S},     {"IQ1_M", "", 31, IQ1_M},
    {"IQ2_XXS", "", 19, IQ2_XXS}, {"IQ2_XS", "", 20, IQ2_XS}, {"IQ2_S", "", 28, IQ2_XS},    {"IQ2_M", "", 29, IQ2_S},
    {"Q2_K_S", "", 21, Q2_K},     {"Q2_K", "", 10, Q2_K},     {"IQ3_XXS", "", 23, IQ3_XXS}, {"IQ3_XS", "", 22, IQ3_S},
    {"IQ3_S", "", 26, IQ3_S},     {"IQ3_M", "", 27, IQ3_S},   {"Q3_K_S", "", 11, Q3_K},     {"Q3_K_M", "Q3_K", 12, Q3_K},
    {"Q3_K_L", "", 13, Q3_K},     {"IQ4_XS", "", 30, IQ4_XS}, {"IQ4_NL", "", 25, IQ4_NL},   {"Q4_K_S", "", 14, Q4_K},
    {"Q4_K_M", "Q4_K", 15, Q4_K}, {"Q5_K_S", "", 16, Q5_K},   {"Q5_K_M", "Q5_K", 17, Q5_K}, {"Q6_K", "", 18, Q6_K},
});

// The type that llama-quantize takes where a block does not divide the row.
struct StandIn {
  GgmlType wanted, type;
};
constexpr auto kStandIns = std::to_array<StandIn>({
    {IQ1_S, IQ4_NL},
    {IQ1_M, IQ4_NL},
    {IQ2_XXS, IQ4_NL},
    {IQ2_XS, IQ4_NL},
    {IQ2_S, IQ4_NL},
    {IQ3_XXS, IQ4_NL},
    {IQ3_S, IQ4_NL},
    {IQ4_XS, IQ4_NL},
    {Q2_0, Q4_0},
    {TQ1_0, Q4_0},
    {TQ2_0, Q4_0},
    {Q2_K, Q4_0},
    {Q3_K, Q4_0},
    {Q4_K, Q5_0},
    {Q5_K, Q5_1},
    {Q6_K, Q8_0},
});

GgmlType stand_in(GgmlType wanted, uint64_t row_elems) {
  const auto divides = [&](GgmlType type) { return row_elems % info(type).block_elems == 0; };
  if (divides(wanted)) return wanted;
  const auto row = std::ranges::find(kStandIns, wanted, &StandIn::wanted);
  return row != kStandIns.end() && divides(row->type) ? row->type : F16;
}

bool wants_imatrix(TensorRole role, GgmlType type, const FileType& file_type) {
  constexpr auto kTypes = std::to_array({IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS});
  if (role == TensorRole::kOutput || role == TensorRole::kEmbeddings) return false;
  return std::ranges::find(kTypes, type) != kTypes.end() || (type == Q2_K && file_type.name == "Q2_K_S");
}

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::span<const FileType> file_types() { return kFileTypes; }

const FileType* find_file_type(std::string_view name) {
  if (name.empty()) return nullptr;
  const auto row =
      std::ranges::find_if(kFileTypes, [&](const FileType& f) { return same_word(f.name, name) || same_word(f.alias, name); });
  return row == kFileTypes.end() ? nullptr : &*row;
}

std::vector<FileTypeChoice> choose_by_file_type(const FileType& file_type, const Model& model, bool has_imatrix) {
  const std::vector<FileTypeRule> rules = rules_of_file_type(file_type.name);
  const std::vector<FileTypeFacts> facts = file_type_facts(model, file_type.type, has_imatrix);
  std::vector<FileTypeChoice> choices(model.tensors.size());
  for (size_t i = 0; i < choices.size(); ++i) {
    if (!llama_quantizes(model.tensors[i])) continue;
    const auto rule = std::ranges::find_if(rules, [&](const FileTypeRule& r) { return r.matches(facts[i]); });
    FileTypeChoice& choice = choices[i];
    choice.wanted = rule == rules.end() ? file_type.type : rule->type;
    choice.reason = rule == rules.end() ? "the file type's own type" : rule->reason;
    choice.type = stand_in(*choice.wanted, model.tensors[i].row_elems());
    choice.wants_imatrix = wants_imatrix(facts[i].role, choice.type, file_type);
  }
  return choices;
}

}  // namespace ggufmill
