#include "convert/recipes/file_type_rules.h"

#include <algorithm>
#include <array>

namespace ggufmill {
namespace {

using enum GgmlType;
using enum TensorRole;
using Facts = FileTypeFacts;

constexpr std::array<std::string_view, kTensorRoles> kRoleNames = {
    "output", "token_embd", "attn_v, attn_qkv, attn_kv_b", "attn_k", "attn_q", "attn_output", "ffn_down", "ffn_gate",
    "ffn_up", "other"};

// Conditions on the place in the model. Divisions round down: of 5 blocks none is in the first eighth.
constexpr FileTypeCondition kAnywhere = {"", [](const Facts&) { return true; }};
constexpr FileTypeCondition kFirstTwo = {"first 2", [](const Facts& f) { return f.rank < 2; }};
constexpr FileTypeCondition kFirstFour = {"first 4", [](const Facts& f) { return f.rank < 4; }};
constexpr FileTypeCondition kFirst16th = {"first sixteenth", [](const Facts& f) { return f.place < f.places / 16; }};
constexpr FileTypeCondition kFirst8th = {"first eighth", [](const Facts& f) { return f.place < f.places / 8; }};
constexpr FileTypeCondition kMiddle = {"all but the first and last eighth",
                                       [](const Facts& f) { return f.place >= f.places / 8 && f.place < 7 * f.places / 8; }};
// The first and last eighth, and every third between: about half of the model.
constexpr FileTypeCondition kEdgesAndThirds = {
    "first and last eighth, every third between",
    [](const Facts& f) { return f.place < f.places / 8 || f.place >= 7 * f.places / 8 || (f.place - f.places / 8) % 3 == 2; }};
// As many tensors as an eighth of the blocks: with experts, several stand in one block.
constexpr FileTypeCondition kFirstTensors = {"first tensors, an eighth of the blocks' number",
                                             [](const Facts& f) { return f.rank < f.places / 8; }};

// Conditions on the model.
constexpr FileTypeCondition kAny = {"", [](const Facts&) { return true; }};
constexpr FileTypeCondition kWide = {"4 or more heads share values", [](const Facts& f) { return f.heads_per_kv_head >= 4; }};
constexpr FileTypeCondition kWideOrExperts = {"4 or more heads share values, or 4 or more experts",
                                              [](const Facts& f) { return f.heads_per_kv_head >= 4 || f.n_experts >= 4; }};
constexpr FileTypeCondition kEightExperts = {"8 experts", [](const Facts& f) { return f.n_experts == 8; }};
constexpr FileTypeCondition k70b = {"a 70B model", [](const Facts& f) { return f.is_70b; }};
constexpr FileTypeCondition kWide70b = {"a 70B model, 4 or more heads share values",
                                        [](const Facts& f) { return f.is_70b && f.heads_per_kv_head >= 4; }};
constexpr FileTypeCondition kFalcon = {"Falcon", [](const Facts& f) { return f.is_falcon; }};
constexpr FileTypeCondition kNotFalcon = {"not Falcon", [](const Facts& f) { return !f.is_falcon; }};
constexpr FileTypeCondition kNotFalconEightExperts = {"8 experts, not Falcon",
                                                      [](const Facts& f) { return f.n_experts == 8 && !f.is_falcon; }};
constexpr FileTypeCondition kNotFalconNorEight = {"neither 8 experts nor Falcon",
                                                  [](const Facts& f) { return f.n_experts != 8 && !f.is_falcon; }};
constexpr FileTypeCondition kImatrix = {"importance matrix", [](const Facts& f) { return f.imatrix; }};
constexpr FileTypeCondition kNoImatrix = {"no importance matrix", [](const Facts& f) { return !f.imatrix; }};
constexpr FileTypeCondition kStacked = {"stacked experts", [](const Facts& f) { return f.stacked; }};
constexpr FileTypeCondition kOddRows = {"rows that are not whole blocks", [](const Facts& f) { return !f.whole_blocks; }};

// Reasons that several rules share.
constexpr std::string_view kSharedValues = "many heads read these values, and the matrix is small";
constexpr std::string_view kSmallBesideEight = "small beside 8 experts, and every token meets it";
constexpr std::string_view kEarlyDown = "errors of the first layers grow through all others";
constexpr std::string_view kHalfOfThem = "the outer layers, and a third of the others, get more bits";
constexpr std::string_view kSensitive = "among the most sensitive matrices";
constexpr std::string_view kSavesBits = "among the least sensitive matrices";

constexpr auto kRules = std::to_array<FileTypeRule>({
    {"Q8_0", {}, kAnywhere, kAny, Q8_0, "one type for all matrices"},

    // ---- MXFP4_MOE: the experts at 4 bits, all else at 8.
    {"MXFP4_MOE", {}, kAnywhere, kStacked, MXFP4, "the experts hold nearly all weights"},
    {"MXFP4_MOE", {}, kAnywhere, kAny, Q8_0, "small beside the experts"},

    // ---- output, and a tied embedding.
    {"", {kOutput}, kAnywhere, kFalcon, Q8_0, "its output matrix is sensitive"},
    {"", {kOutput}, kAnywhere, kOddRows, Q8_0, "rows are not whole blocks of the file type's own type"},
    {"IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ3_XXS", {kOutput}, kAnywhere, kAny, Q5_K, "every token's logits pass it"},
    {"", {kOutput}, kAnywhere, kAny, Q6_K, "every token's logits pass it"},

    // ---- token_embd with an output of its own.
    {"IQ1_S IQ1_M IQ2_XXS IQ2_XS",
     {kEmbeddings},
     kAnywhere,
     kAny,
     Q2_K,
     "rows are only looked up: a type without a codebook will do"},
    {"IQ2_S IQ2_M IQ3_XXS", {kEmbeddings}, kAnywhere, kAny, IQ3_S, "one step up: a small part of the model"},
    {"TQ1_0 TQ2_0 Q2_0", {kEmbeddings}, kAnywhere, kAny, Q4_K, "not trained for three values"},

    // ---- Values: many heads share them, so the matrix is small and its errors count double.
    {"IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M", {kValues}, kAnywhere, kWideOrExperts, Q4_K, kSharedValues},
    {"IQ2_S IQ2_M", {kValues}, kAnywhere, kAny, IQ3_S, kSensitive},
    {"IQ1_S IQ1_M IQ2_XXS IQ2_XS", {kValues}, kAnywhere, kAny, Q2_K, kSensitive},
    {"", {kValues}, kAnywhere, kEightExperts, Q8_0, kSmallBesideEight},
    {"Q4_K_M Q5_K_M", {kValues}, kEdgesAndThirds, kAny, Q6_K, kHalfOfThem},
    {"Q2_K Q3_K_S Q3_K_M IQ3_M Q4_K_S Q4_K_M", {kValues}, kAnywhere, k70b, Q5_K, kSharedValues},
    {"Q2_K_S IQ3_XXS IQ3_XS IQ3_S", {kValues}, kAnywhere, kWide70b, Q5_K, kSharedValues},
    {"Q2_K Q2_K_S IQ3_XXS IQ3_XS IQ3_S", {kValues}, kAnywhere, kWide, Q4_K, kSharedValues},
    {"Q2_K", {kValues}, kAnywhere, kAny, Q3_K, kSensitive},
    {"IQ3_XXS", {kValues}, kAnywhere, kNoImatrix, IQ3_S, kSensitive},
    {"Q3_K_M", {kValues}, kFirstTwo, kAny, Q5_K, kEarlyDown},
    {"Q3_K_M IQ3_M", {kValues}, kAnywhere, kAny, Q4_K, kSensitive},
    {"Q3_K_L", {kValues}, kAnywhere, kAny, Q5_K, kSensitive},
    {"IQ4_NL IQ4_XS", {kValues}, kAnywhere, kWide, Q5_K, kSharedValues},
    {"Q4_K_S", {kValues}, kFirstFour, kAny, Q5_K, kEarlyDown},

    // ---- Keys and queries.
    {"IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M", {kKeys}, kAnywhere, kEightExperts, Q4_K, kSmallBesideEight},
    {"", {kKeys}, kAnywhere, kEightExperts, Q8_0, kSmallBesideEight},
    {"IQ3_XS", {kKeys, kQueries}, kAnywhere, kAny, IQ3_XXS, kSavesBits},
    {"IQ3_XXS", {kKeys, kQueries}, kAnywhere, kAny, IQ2_S, kSavesBits},

    // ---- The attention's output.
    {"IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M", {kAttnOutput}, kAnywhere, kEightExperts, Q5_K, kSmallBesideEight},
    {"IQ1_S IQ1_M", {kAttnOutput}, kAnywhere, kAny, IQ2_XXS, kSensitive},
    {"IQ2_S IQ2_M", {kAttnOutput}, kAnywhere, kAny, IQ3_S, kSensitive},
    {"Q2_K Q3_K_S Q3_K_M Q4_K_S Q4_K_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS",
     {kAttnOutput},
     kAnywhere,
     kNotFalconEightExperts,
     Q5_K,
     kSmallBesideEight},
    {"Q2_K", {kAttnOutput}, kAnywhere, kNotFalconNorEight, Q3_K, kSensitive},
    {"IQ3_XXS", {kAttnOutput}, kAnywhere, kNotFalconNorEight, IQ3_S, kSensitive},
    {"Q3_K_M IQ3_M", {kAttnOutput}, kAnywhere, kNotFalconNorEight, Q4_K, kSensitive},
    {"Q3_K_L", {kAttnOutput}, kAnywhere, kNotFalconNorEight, Q5_K, kSensitive},
    {"Q3_K_L", {kAttnOutput}, kAnywhere, kFalcon, Q4_K, kSensitive},

    // ---- ffn_down: its inputs have outliers.
    {"IQ2_S IQ2_M", {kDown}, kFirstTensors, kAny, IQ3_S, kEarlyDown},
    {"IQ1_S IQ1_M IQ2_XXS IQ2_XS", {kDown}, kFirstTensors, kAny, Q2_K, kEarlyDown},
    {"Q2_K", {kDown}, kAnywhere, kAny, Q3_K, kSensitive},
    {"Q2_K_S", {kDown}, kFirst8th, kAny, Q4_K, kEarlyDown},
    {"IQ3_XXS", {kDown}, kFirst8th, kNoImatrix, Q4_K, kEarlyDown},
    {"IQ3_XXS", {kDown}, kAnywhere, kNoImatrix, Q3_K, kSensitive},
    {"Q3_K_M", {kDown}, kFirst16th, kAny, Q5_K, kEarlyDown},
    {"Q3_K_M", {kDown}, kAnywhere, kNotFalcon, Q4_K, kSensitive},
    {"Q3_K_M", {kDown}, kEdgesAndThirds, kAny, Q4_K, kHalfOfThem},
    {"IQ3_M", {kDown}, kFirst8th, kAny, Q4_K, kEarlyDown},
    {"IQ3_M", {kDown}, kEdgesAndThirds, kEightExperts, Q4_K, kHalfOfThem},
    {"Q3_K_L", {kDown}, kAnywhere, kFalcon, Q4_K, kSensitive},
    {"Q3_K_L", {kDown}, kAnywhere, kAny, Q5_K, kSensitive},
    {"Q4_K_M", {kDown}, kFirst16th, kFalcon, Q6_K, kEarlyDown},
    {"Q4_K_M", {kDown}, kEdgesAndThirds, kFalcon, Q5_K, kHalfOfThem},
    {"Q4_K_M", {kDown}, kEdgesAndThirds, kNotFalcon, Q6_K, kHalfOfThem},
    {"Q5_K_M", {kDown}, kEdgesAndThirds, kAny, Q6_K, kHalfOfThem},
    {"Q4_K_S", {kDown}, kFirst8th, kNotFalcon, Q5_K, kEarlyDown},
    {"IQ4_NL IQ4_XS", {kDown}, kFirst8th, kNoImatrix, Q5_K, kEarlyDown},
    {"Q4_0", {kDown}, kFirst8th, kImatrix, Q4_1, "an importance matrix can spoil the first ones; a min keeps them sound"},
    {"Q5_0", {kDown}, kFirst8th, kImatrix, Q5_1, "an importance matrix can spoil the first ones; a min keeps them sound"},

    // ---- ffn_gate and ffn_up.
    {"IQ3_XS", {kGate, kUp}, kMiddle, kAny, IQ3_XXS, kSavesBits},
});

bool has_word(std::string_view words, std::string_view word) {
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    if (words.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

// Whether every tensor that `later` matches is `earlier`'s, as far as the same conditions say so.
bool takes_all_of(const FileTypeRule& earlier, const FileTypeRule& later) {
  const auto covers = [](const FileTypeCondition& a, const FileTypeCondition& b) { return a.text.empty() || a.text == b.text; };
  return earlier.roles.has_all_of(later.roles) && covers(earlier.place, later.place) && covers(earlier.model, later.model);
}

}  // namespace

std::string_view name(TensorRole role) { return kRoleNames[static_cast<size_t>(role)]; }

bool FileTypeRule::applies_to(std::string_view file_type) const { return file_types.empty() || has_word(file_types, file_type); }

bool FileTypeRule::matches(const FileTypeFacts& facts) const {
  return roles.has(facts.role) && place.holds(facts) && model.holds(facts);
}

std::span<const FileTypeRule> file_type_rules() { return kRules; }

std::vector<FileTypeRule> rules_of_file_type(std::string_view name) {
  std::vector<FileTypeRule> rules;
  for (const FileTypeRule& rule : kRules) {
    const auto covered = [&](const FileTypeRule& earlier) { return takes_all_of(earlier, rule); };
    if (rule.applies_to(name) && std::ranges::none_of(rules, covered)) rules.push_back(rule);
  }
  return rules;
}

}  // namespace ggufmill
