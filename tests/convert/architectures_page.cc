// Prints docs/architectures.md from the tables of convert/arch; `make -f Makefile.helpers architectures` writes it, and a test
// compares the two.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "convert/arch/arch.h"

namespace ggufmill {
namespace {

constexpr std::string_view kHead = R"md(# Architectures

Which models are known, and what becomes of each of their tensors. Made from the tables in `convert/arch` by `make -f Makefile.helpers architectures`; not to be
edited. The files there open with an essay on the family, which this page does not repeat. [Adding an architecture](adding-an-architecture.md) says how rules are written.

| `architectures[0]` of config.json | `general.architecture` | models |
| --- | --- | --- |
)md";

constexpr std::string_view kLegend = R"md(
In the tables: `{bid}` is the block, `{xid}` the expert; an `{xid}` that is missing on the right means that the experts are stacked. Shapes are of the values of one
source tensor, outermost first, in the names of the rules. Kinds of blocks are A attention, L linear attention, D dense, E experts, R experts behind a router, H experts by
a table, N multi-token prediction; in nemotron_h those of `hybrid_override_pattern` (M Mamba, * attention, E experts, - feed-forward). A quantized source has its scales beside it ([sources](sources.md)), which no rule names. The last column says which blocks have the tensor, on what it depends, and
what is done to its values:

| words | meaning |
| --- | --- |
| `A -> B` | values are moved, in the manner of einops |
| -exp, + 1 | what is computed of each value, in f32 |
| F32, I32 | the type whatever the recipe says, beside those that llama.cpp's converter knows by name |
| optional | may be missing |
| one form of several | one of the rules for this output has its sources |
| beside | its rows continue those of the rule above |
| MTP | part of multi-token prediction (the kind N is, too); shared: part of the trunk and of a file with that alone |
)md";

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string shape_text(const Rule& rule) {
  std::string text;
  for (const std::string_view name : rule.shape) {
    if (!name.empty()) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text.empty() ? "" : "[" + text + "]";
}

std::string notes(const Rule& rule) {
  std::vector<std::string> notes;
  if (!rule.blocks.empty()) notes.push_back("blocks " + std::string(rule.blocks));
  if (!rule.only_if.empty()) notes.push_back("if " + code(rule.only_if));
  if (!rule.move.empty()) notes.push_back(code(rule.move));
  if (rule.op == ValueOp::kNegExp) notes.push_back("-exp");
  if (rule.op == ValueOp::kAddOne) notes.push_back("+ 1");
  if (rule.fixed_type == FixedType::kF32) notes.push_back("F32");
  if (rule.fixed_type == FixedType::kI32) notes.push_back("I32");
  if (rule.fixed_type == FixedType::kNone) notes.push_back("not F32, whatever its name");
  if (rule.presence == Presence::kOptional) notes.push_back("optional");
  if (rule.presence == Presence::kOneOf) notes.push_back("one form of several");
  if (rule.beside) notes.push_back("beside");
  if (rule.part == Part::kMtp) notes.push_back("MTP");
  if (rule.part == Part::kShared) notes.push_back("shared");
  if (!rule.alias.empty()) notes.push_back("also " + code(rule.alias));
  std::string text;
  for (const std::string& note : notes) text += (text.empty() ? "" : "; ") + note;
  return text;
}

// The architectures that share a table.
std::vector<const Architecture*> with_rules(const Rule* rules) {
  std::vector<const Architecture*> found;
  for (const Architecture& a : architectures()) {
    if (a.rules.data() == rules) found.push_back(&a);
  }
  return found;
}

void print_family(const std::vector<const Architecture*>& family) {
  std::vector<std::string_view> names;
  for (const Architecture* a : family) {
    if (std::ranges::find(names, a->gguf_names) == names.end()) names.push_back(a->gguf_names);
  }
  std::cout << "\n## ";
  for (size_t i = 0; i < names.size(); ++i) std::cout << (i > 0 ? ", " : "") << names[i];
  std::cout << "\n\n| source | GGUF | shape | |\n| --- | --- | --- | --- |\n";
  for (const Rule& rule : family[0]->rules) {
    std::cout << "| " << code(rule.from) << " | " << (rule.to.empty() ? "dropped" : code(rule.to)) << " | " << shape_text(rule)
              << " | " << notes(rule) << " |\n";
  }
}

void print_page() {
  std::cout << kHead;
  for (const Architecture& a : architectures())
    std::cout << "| " << code(a.hf_name) << " | " << a.gguf_names << " | " << a.models << " |\n";
  std::cout << kLegend;
  std::vector<const Rule*> printed;
  for (const Architecture& a : architectures()) {
    if (std::ranges::find(printed, a.rules.data()) != printed.end()) continue;
    printed.push_back(a.rules.data());
    print_family(with_rules(a.rules.data()));
  }
}

}  // namespace
}  // namespace ggufmill

int main() { ggufmill::print_page(); }
