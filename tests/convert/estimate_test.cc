#include "convert/estimate.h"

#include <gtest/gtest.h>

#include "tests/convert/small_plan.h"

namespace ggufmill {
namespace {

TEST(Estimate, IsLargerForMoreWeights) {
  SmallPlan small;
  const double seconds = estimate_encode_seconds(small.plan);
  EXPECT_GT(seconds, 0);
  EXPECT_LT(seconds, 60) << "7,000 weights";
  for (PlannedTensor& t : small.plan.tensors) t.ne[1 % t.ne.size()] *= 1'000'000;
  EXPECT_GT(estimate_encode_seconds(small.plan), seconds * 100);
}

TEST(Estimate, NothingCostsNothing) { EXPECT_EQ(estimate_encode_seconds(Plan{}), 0); }

}  // namespace
}  // namespace ggufmill
