#include "convert/plan_digest.h"

#include <array>
#include <bit>

#include "formats/hash.h"
#include "quant/codecs.h"

namespace ggufmill {
namespace {

// Feeds values to a hash with their lengths, so that no two different lists feed the same bytes.
class DigestStream {
 public:
  void number(uint64_t value) {
    std::array<std::byte, 8> bytes;
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
    hash_.update(bytes);
  }
  void text(std::string_view value) {
    number(value.size());
    hash_.update(as_bytes(value));
  }
  void bytes(std::span<const std::byte> value) {
    number(value.size());
    hash_.update(value);
  }
  Sha256 finish() { return hash_.finish(); }

 private:
  Sha256Stream hash_;
};

Sha256 hash_of_encoding() {
  DigestStream d;
  d.number(kEncodingVersion);
  return d.finish();
}

Sha256 hash_of_sources(const Plan& plan) {
  DigestStream d;
  d.number(plan.shards.size());
  for (const Shard& s : plan.shards) {
    d.text(s.name);
    d.number(s.id.bytes);
    d.bytes(s.header_hash.bytes);
  }
  return d.finish();
}

Sha256 hash_of_imatrix(const Plan& plan) {
  DigestStream d;
  if (plan.imatrix_hash) d.bytes(plan.imatrix_hash->bytes);
  return d.finish();
}

Sha256 hash_of_types(const Plan& plan) {
  DigestStream d;
  d.number(plan.tensors.size());
  for (const PlannedTensor& t : plan.tensors) {
    d.text(t.name);
    d.number(static_cast<uint64_t>(t.type));
    for (const std::vector<Axis>* axes : {&t.row_map.group, &t.row_map.columns}) {
      d.number(axes->size());
      for (const Axis& a : *axes) {
        d.number(a.size);
        d.number(a.stride);
      }
    }
    d.number(t.row_map.group_stride);
    d.number(static_cast<uint64_t>(t.op));
    d.number(t.importance != nullptr);
    d.number(t.repack);
    d.number(std::bit_cast<uint32_t>(t.scale));
    d.bytes(t.literal);
    d.number(t.pieces.size());
    for (const Piece& p : t.pieces) {
      d.number(p.source);
      d.number(p.out_row);
      d.number(p.rows);
      d.number(p.first_elem);
      if (p.beside != Piece::kNone) d.number(p.beside);
    }
  }
  return d.finish();
}

Sha256 hash_of_searches(const Plan& plan) {
  DigestStream d;
  for (const PlannedTensor& t : plan.tensors) {
    d.number(static_cast<uint64_t>(t.effort));
    d.number(static_cast<uint64_t>(t.objective));
  }
  return d.finish();
}

Sha256 hash_of_files(const Plan& plan) {
  DigestStream d;
  d.number(plan.files.size());
  for (const PlannedFile& f : plan.files) {
    d.text(f.name);
    d.number(f.bytes);
    d.number(f.n_tensors);
    d.bytes(f.header);
  }
  return d.finish();
}

}  // namespace

void add_digest(Plan& plan) {
  plan.recipe_hash = hash_of_types(plan);
  // Most telling first: a refused resume names the first part that differs.
  plan.digest_parts = {{"the program's encoders", hash_of_encoding()},       {"the source files", hash_of_sources(plan)},
                       {"the importance matrices", hash_of_imatrix(plan)},   {"tensor types", plan.recipe_hash},
                       {"effort and objective", hash_of_searches(plan)},     {"metadata", plan.metadata_hash},
                       {"output files and shard sizes", hash_of_files(plan)}};
  DigestStream all;
  for (const DigestPart& part : plan.digest_parts) {
    all.text(part.what);
    all.bytes(part.hash.bytes);
  }
  plan.digest = all.finish();
}

}  // namespace ggufmill
