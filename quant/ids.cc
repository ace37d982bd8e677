// I32: tables of ids (which experts a token goes to), the one integer type that models hold beside their weights.
//   byte 4 i  i32  id i, little-endian
// As floats ids are whole numbers up to 2^24, which f32 holds exactly; the reader refuses larger ones (convert/weight_rows.h).
// A value that is no such number becomes 0: nothing but a broken promise of the program leads there.
#include <cmath>
#include <cstring>

#include "quant/codec_functions.h"
#include "quant/codecs.h"

namespace ggufmill {

void decode_i32(Blocks blocks, std::span<float> values) noexcept {
  for (size_t i = 0; i < values.size(); ++i) {
    int32_t id = 0;
    std::memcpy(&id, blocks.data() + i * sizeof id, sizeof id);
    values[i] = static_cast<float>(id);
  }
}

void encode_i32(Row row, const RowContext&, BlocksOut blocks) noexcept {
  for (size_t i = 0; i < row.size(); ++i) {
    const int32_t id = std::fabs(row[i]) <= kMaxId ? static_cast<int32_t>(row[i]) : 0;
    std::memcpy(blocks.data() + i * sizeof id, &id, sizeof id);
  }
}

}  // namespace ggufmill
