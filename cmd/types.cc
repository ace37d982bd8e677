#include "cmd/types.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cmd/text_table.h"
#include "formats/error.h"
#include "formats/ggml_type.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

using Json = nlohmann::ordered_json;

std::string yes_if(bool value) { return value ? "yes" : "-"; }

std::string with_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

void print_json(std::ostream& out) {
  Json types = Json::array();
  for (const GgmlTypeInfo& type : ggml_types()) {
    const Codec* codec = find_weight_codec(type.type);
    types.push_back({{"name", type.name},
                     {"id", static_cast<uint32_t>(type.type)},
                     {"bits_per_weight", type.bits_per_weight()},
                     {"block_elems", type.block_elems},
                     {"block_bytes", type.block_bytes},
                     {"decode", codec != nullptr && codec->decode != nullptr},
                     {"encode", codec != nullptr && codec->encode != nullptr},
                     {"typical_error", codec != nullptr ? codec->typical_error : 0},
                     {"objective", codec != nullptr && codec->uses_importance ? name(codec->objective) : ""},
                     {"stands_in", codec != nullptr && codec->stands_in},
                     {"uses_importance", codec != nullptr && codec->uses_importance},
                     {"lossless_container", codec != nullptr && codec->lossless_container}});
  }
  out << Json{{"types", std::move(types)}}.dump(2) << '\n';
}

void print_table(std::ostream& out) {
  constexpr auto kLeft = TextTable::Align::kLeft;
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"type", kLeft},
                   {"bits/weight", kRight},
                   {"block", kRight},
                   {"bytes", kRight},
                   {"decode", kLeft},
                   {"encode", kLeft},
                   {"importance", kLeft},
                   {"container", kLeft}});
  for (const GgmlTypeInfo& type : ggml_types()) {
    const Codec* codec = find_weight_codec(type.type);
    table.row({std::string(type.name), with_digits(type.bits_per_weight()), std::to_string(type.block_elems),
               std::to_string(type.block_bytes), yes_if(codec != nullptr && codec->decode != nullptr),
               yes_if(codec != nullptr && codec->encode != nullptr), yes_if(codec != nullptr && codec->uses_importance),
               yes_if(codec != nullptr && codec->lossless_container)});
  }
  table.print(out);
}

}  // namespace

int run_types(const TypesOptions& options, std::ostream& out) {
  if (options.measure) {
    MeasureOptionsText measuring = options.measuring;
    measuring.json = options.json;
    measure_types(measuring, out);
    return static_cast<int>(Exit::kOk);
  }
  options.json ? print_json(out) : print_table(out);
  return static_cast<int>(Exit::kOk);
}

}  // namespace ggufmill
