#include "convert/tensor_class.h"

#include <gtest/gtest.h>

#include <string>

namespace ggufmill {
namespace {

using enum TensorClass;

struct Row {
  std::string name;
  TensorClass tensor_class;
  bool kept_in_mtp = false;  // router, norms and conv
};

// One name for every row of the table, in its order, and what falls through it.
const Row kNames[] = {
    {"blk.1.attn_norm.weight", kNorms, true},
    {"blk.1.attn_q_norm.weight", kNorms, true},
    {"blk.1.ssm_norm.weight", kNorms, true},
    {"blk.1.nextn.enorm.weight", kNorms, true},
    {"blk.1.nextn.hnorm.weight", kNorms, true},
    {"blk.1.nextn.shared_head_norm.weight", kNorms, true},
    {"blk.1.ffn_down_exps.weight", kExperts},
    {"blk.1.ffn_up_exps.weight", kExperts},
    {"blk.1.ffn_gate_inp.weight", kRouter, true},
    {"blk.1.ffn_gate_inp_shexp.weight", kRouter, true},
    {"blk.1.ffn_gate_tid2eid.weight", kRouter, true},
    {"blk.1.exp_probs_b.bias", kRouter, true},
    {"blk.1.ffn_up_shexp.weight", kSharedExperts},
    {"blk.1.ffn_latent_down.weight", kLatent},
    {"blk.1.ffn_up.weight", kFfn},
    {"blk.1.ssm_conv1d.weight", kConv, true},
    {"blk.1.ssm_conv1d.bias", kConv, true},
    {"blk.1.ssm_in.weight", kSsm},
    {"blk.1.ssm_a", kSsm},
    {"blk.1.attn_q.weight", kAttention},
    {"blk.1.indexer.attn_k.weight", kAttention},
    {"blk.1.nextn.eh_proj.weight", kOther},
};

TEST(TensorClass, EveryRowOfTheTable) {
  for (const Row& row : kNames) EXPECT_EQ(name(classify(row.name, -1)), name(row.tensor_class)) << row.name;
  EXPECT_EQ(classify("token_embd.weight", -1), kEmbeddings);
  EXPECT_EQ(classify("output.weight", -1), kOutput);
  EXPECT_EQ(classify("output_norm.weight", -1), kNorms);
  EXPECT_EQ(classify("rope_freqs.weight", -1), kOther);
}

TEST(TensorClass, MtpBlockKeepsRouterNormsAndConvAndTakesTheRest) {
  for (const Row& row : kNames) {
    EXPECT_EQ(name(classify(row.name, 1)), name(row.kept_in_mtp ? row.tensor_class : kMtp)) << row.name;
    EXPECT_EQ(name(classify(row.name, 2)), name(row.tensor_class)) << "another block is the MTP block: " << row.name;
  }
  EXPECT_EQ(classify("token_embd.weight", 1), kEmbeddings);
}

TEST(TensorClass, NamesGoBothWays) {
  for (size_t i = 0; i < kTensorClasses; ++i) {
    const auto c = static_cast<TensorClass>(i);
    EXPECT_EQ(find_tensor_class(name(c)), c);
  }
  EXPECT_EQ(find_tensor_class("Experts"), std::nullopt);
  EXPECT_EQ(find_tensor_class(""), std::nullopt);
}

TEST(TensorClass, BlockOfAName) {
  EXPECT_EQ(block_of("blk.12.attn_q.weight"), 12);
  EXPECT_EQ(block_of("blk.0.x"), 0);
  for (const char* none :
       {"token_embd.weight", "blk.", "blk.12", "blk.x.y", "blk.12x.y", "blk.99999999999999999999.y", "xblk.1.y"}) {
    EXPECT_EQ(block_of(none), -1) << none;
  }
}

}  // namespace
}  // namespace ggufmill
