// Figures: llama.cpp's encoders without an importance matrix on heavy-tailed synthetic weights (Student-t with 5 degrees of
// freedom, rows and columns of different scale, 0.02 % outliers of six times the size), measured once, times 1.6. A tensor beyond
// that was not encoded badly but wrongly: other rows, another scale, a transpose. Q8_0's bound is what rounding can leave at most
// on blocks of one large value among small ones: sqrt(31/12) / 127.
#include "verify/error_bounds.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace ggufmill {
namespace {

struct Bound {
  GgmlType type;
  double relative_rmse;
};

using enum GgmlType;
constexpr double kMargin = 1.6;
constexpr std::array kBounds = std::to_array<Bound>({
    {F32, 0},
    {F16, 0},
    {BF16, 0},
    {Q8_0, 0.0127},
    {Q6_K, 0.0219 * kMargin},
    {Q5_1, 0.0442 * kMargin},
    {Q5_K, 0.0427 * kMargin},
    {Q5_0, 0.0552 * kMargin},
    {Q4_1, 0.0914 * kMargin},
    {Q4_K, 0.0844 * kMargin},
    {Q4_0, 0.1105 * kMargin},
    {IQ4_NL, 0.0903 * kMargin},
    {NVFP4, 0.0993 * kMargin},
    {IQ4_XS, 0.0912 * kMargin},
    {MXFP4, 0.128 * kMargin},
    {Q3_K, 0.179 * kMargin},
    {IQ3_S, 0.191 * kMargin},
    {IQ3_XXS, 0.246 * kMargin},
    {Q2_K, 0.338 * kMargin},
    {IQ2_S, 0.321 * kMargin},
    {IQ2_XS, 0.349 * kMargin},
    {IQ2_XXS, 0.408 * kMargin},
    {IQ1_M, 0.597 * kMargin},
    {IQ1_S, 0.586 * kMargin},
    {TQ1_0, 1},
    {TQ2_0, 1},
    {Q2_0, 1},
    {Q1_0, 1},
});

}  // namespace

double largest_relative_rmse(GgmlType type) {
  const auto row = std::ranges::find(kBounds, type, &Bound::type);
  assert(row != kBounds.end() && "every codec has a bound in kBounds");
  return row->relative_rmse;
}

}  // namespace ggufmill
