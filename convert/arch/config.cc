// Field look-ups of config.json; see config.h.
#include "convert/arch/config.h"

#include <cmath>

namespace ggufmill {
namespace {

std::string shown(simdjson::dom::element value) { return printable(simdjson::minify(value), 60); }

}  // namespace

Config::Config(JsonDocument document) : document_(std::move(document)) {
  if (!root().is_object()) throw Error(Exit::kBadInput, where() + ": the root is not an object");
}

Config::Place Config::place_of(std::string_view field) const {
  Place place{root(), field};
  const std::string_view first = field.substr(0, field.find('.'));
  simdjson::dom::element value;
  if (const auto text = json_find(root(), "text_config"); text && !text->at_key(first).get(value)) place.object = *text;
  for (size_t dot = field.find('.'); dot != std::string_view::npos; dot = place.name.find('.')) {
    const auto inner = json_find(place.object, place.name.substr(0, dot));
    if (!inner) break;
    place = {*inner, place.name.substr(dot + 1)};
  }
  return place;
}

Error Config::bad_field(std::string_view field, std::string_view why) const {
  return Error(Exit::kBadInput, where() + ": field \"" + std::string(field) + "\": " + std::string(why));
}

Error Config::missing(Names names) const {
  std::string others;
  for (const std::string_view name : names) {
    if (name != *names.begin()) others += (others.empty() ? " (nor " : ", ") + std::string(name);
  }
  return bad_field(*names.begin(), "missing" + (others.empty() ? others : others + ")"));
}

std::string_view Config::architecture() const {
  const auto list = json_find(root(), "architectures");
  simdjson::dom::array names;
  std::string_view first;
  if (!list || list->get_array().get(names) || names.at(0).get_string().get(first)) {
    throw bad_field("architectures", "missing, expected a list with the model class's name");
  }
  return first;
}

bool Config::has(std::string_view field) const { return find({field}).has_value(); }

std::optional<simdjson::dom::element> Config::find(Names names) const {
  for (const std::string_view name : names) {
    const Place at = place_of(name);
    if (const auto value = json_find(at.object, at.name)) return value;
  }
  return std::nullopt;
}

std::optional<uint64_t> Config::find_uint(Names names, uint64_t min, uint64_t max) const {
  for (const std::string_view name : names) {
    const Place at = place_of(name);
    const auto value = json_find(at.object, at.name);
    if (!value) continue;
    const auto number = json_int(at.object, at.name);
    if (!number || *number < 0 || static_cast<uint64_t>(*number) < min || static_cast<uint64_t>(*number) > max) {
      throw bad_field(
          name, "found " + shown(*value) + ", expected an integer from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return static_cast<uint64_t>(*number);
  }
  return std::nullopt;
}

uint64_t Config::uint(Names names, uint64_t min, uint64_t max) const {
  const auto value = find_uint(names, min, max);
  if (!value) throw missing(names);
  return *value;
}

std::optional<double> Config::find_number(Names names) const {
  for (const std::string_view name : names) {
    const Place at = place_of(name);
    const auto value = json_find(at.object, at.name);
    if (!value) continue;
    const auto number = json_double(at.object, at.name);
    if (!number || !std::isfinite(*number)) throw bad_field(name, "found " + shown(*value) + ", expected a finite number");
    return number;
  }
  return std::nullopt;
}

double Config::number(Names names) const {
  const auto value = find_number(names);
  if (!value) throw missing(names);
  return *value;
}

bool Config::boolean_or(std::string_view field, bool fallback) const {
  const Place at = place_of(field);
  const auto value = json_find(at.object, at.name);
  if (!value) return fallback;
  const auto flag = json_bool(at.object, at.name);
  if (!flag) throw bad_field(field, "found " + shown(*value) + ", expected true or false");
  return *flag;
}

bool Config::boolean(std::string_view field) const {
  if (!has(field)) throw missing({field});
  return boolean_or(field, false);
}

std::optional<std::string_view> Config::find_string(Names names) const {
  for (const std::string_view name : names) {
    const Place at = place_of(name);
    const auto value = json_find(at.object, at.name);
    if (!value) continue;
    const auto text = json_string(at.object, at.name);
    if (!text) throw bad_field(name, "found " + shown(*value) + ", expected a string");
    return text;
  }
  return std::nullopt;
}

std::optional<std::vector<std::string_view>> Config::find_strings(std::string_view field) const {
  const auto value = find({field});
  if (!value) return std::nullopt;
  simdjson::dom::array list;
  if (value->get_array().get(list)) throw bad_field(field, "found " + shown(*value) + ", expected a list of strings");
  std::vector<std::string_view> texts;
  for (const simdjson::dom::element item : list) {
    std::string_view text;
    if (item.get_string().get(text)) throw bad_field(field, "found " + shown(item) + " in the list, expected strings");
    texts.push_back(text);
  }
  return texts;
}

std::optional<std::vector<uint64_t>> Config::find_uints(std::string_view field, uint64_t max) const {
  const auto value = find({field});
  if (!value) return std::nullopt;
  simdjson::dom::array list;
  if (value->get_array().get(list)) throw bad_field(field, "found " + shown(*value) + ", expected a list of integers");
  std::vector<uint64_t> numbers;
  for (const simdjson::dom::element item : list) {
    uint64_t number = 0;
    if (item.get_uint64().get(number) || number > max) {
      throw bad_field(field, "found " + shown(item) + " in the list, expected integers from 0 to " + std::to_string(max));
    }
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace ggufmill
