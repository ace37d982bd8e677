// config.json as an architecture reads it: raw, never through a library's defaults, every number within a stated range.
//
// A field may have several names (families and versions differ); the first that is present and not null counts. Every error
// names file, field, what was found and what was expected. Where there is a text_config, its fields stand above those of the
// root, as llama.cpp's converter merges them. "rope_parameters.factor" is a field of an object.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/error.h"
#include "formats/json.h"

namespace ggufmill {

// Widths, counts and sizes of a model: 128 times the largest vocabulary in use, small enough that products of two stay exact.
inline constexpr uint64_t kMaxConfigNumber = uint64_t{1} << 24;

class Config {
 public:
  using Names = std::initializer_list<std::string_view>;

  // Throws kBadInput where the root is not an object.
  explicit Config(JsonDocument document);

  // `architectures[0]`; kBadInput where there is none.
  std::string_view architecture() const;
  bool has(std::string_view field) const;  // present and not null

  // Integers in [min, max]; required forms throw where the field is missing, all throw where it has another type or range.
  uint64_t uint(Names names, uint64_t min = 1, uint64_t max = kMaxConfigNumber) const;
  std::optional<uint64_t> find_uint(Names names, uint64_t min = 0, uint64_t max = kMaxConfigNumber) const;
  double number(Names names) const;
  std::optional<double> find_number(Names names) const;
  bool boolean(std::string_view field) const;
  bool boolean_or(std::string_view field, bool fallback) const;
  std::optional<std::string_view> find_string(Names names) const;
  std::optional<std::vector<std::string_view>> find_strings(std::string_view field) const;
  std::optional<std::vector<uint64_t>> find_uints(std::string_view field, uint64_t max = kMaxConfigNumber) const;
  std::optional<simdjson::dom::element> find(Names names) const;

  // An Error "config.json: field "NAME": WHY".
  Error bad_field(std::string_view field, std::string_view why) const;
  const std::string& where() const { return document_.where(); }
  simdjson::dom::element root() const { return document_.root(); }

 private:
  // A field's last name and the object that it stands in.
  struct Place {
    simdjson::dom::element object;
    std::string_view name;
  };
  Place place_of(std::string_view field) const;
  Error missing(Names names) const;

  JsonDocument document_;
};

}  // namespace ggufmill
