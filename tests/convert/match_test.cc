// The matcher on small tables of its own: what no family shows alone.
#include <gtest/gtest.h>

#include "convert/arch/arch.h"
#include "convert/refused.h"

namespace ggufmill {
namespace {

Weight weight(const std::string& name, std::vector<uint64_t> shape, DType dtype = DType::BF16) {
  Weight w;
  w.name = name;
  w.shape = shape;
  w.codes.name = name;
  w.codes.dtype = dtype;
  w.codes.shape = std::move(shape);
  return w;
}

Layout layout(const std::string& kinds, const std::string& mtp_kinds = "", bool mtp = false) {
  Layout l;
  l.block_kinds = kinds;
  l.mtp_kinds = mtp_kinds;
  l.mtp_block = mtp ? static_cast<int64_t>(kinds.size()) : -1;
  l.n_experts = 2;
  l.dims = {{"n", 4}, {"half", 2}, {"other", 2}, {"two", 2}, {"n_expert", 2}};
  return l;
}

MatchedTensors match(const std::vector<Weight>& weights, std::span<const Rule> rules, const Layout& l,
                     MtpMode mtp = MtpMode::kInclude) {
  return match_tensors("folder", weights, "Arch", rules, l, mtp);
}

std::vector<std::string> problems(const std::vector<Weight>& weights, std::span<const Rule> rules, const Layout& l,
                                  MtpMode mtp = MtpMode::kInclude) {
  try {
    match(weights, rules, l, mtp);
    return {};
  } catch (const Refused& refused) {
    std::vector<std::string> texts;
    for (const Finding& f : refused.findings()) texts.push_back(f.tensor + ": " + f.message);
    return texts;
  }
}

using Texts = std::vector<std::string>;

const std::vector<Rule> kBlocks = {
    {.from = "norm", .to = "output_norm.weight", .shape = {"n"}, .part = Part::kShared},
    {.from = "layers.{bid}.w", .to = "blk.{bid}.ffn_up.weight", .shape = {"n", "n"}},
    {.from = "layers.{bid}.fuse", .to = "blk.{bid}.nextn.eh_proj.weight", .blocks = "N", .shape = {"n", "n"}}};

std::vector<Weight> two_blocks_and_mtp() {
  return {weight("norm", {4}), weight("layers.0.w", {4, 4}), weight("layers.1.w", {4, 4}), weight("layers.2.w", {4, 4}),
          weight("layers.2.fuse", {4, 4})};
}

std::vector<std::string> names(const MatchedTensors& matched) {
  std::vector<std::string> out;
  for (const ModelTensor& t : matched.tensors) out.push_back(t.name);
  return out;
}

TEST(Match, blocks_of_multi_token_prediction_are_numbered_on) {
  const MatchedTensors all = match(two_blocks_and_mtp(), kBlocks, layout("TT", "N", true));
  EXPECT_EQ(names(all), (Texts{"output_norm.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight", "blk.2.ffn_up.weight",
                               "blk.2.nextn.eh_proj.weight"}));
  EXPECT_TRUE(all.left_out.empty());
  const MatchedTensors without = match(two_blocks_and_mtp(), kBlocks, layout("TT", "N", false), MtpMode::kLeaveOut);
  EXPECT_EQ(names(without), (Texts{"output_norm.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight"}));
  EXPECT_EQ(without.left_out, (Texts{"layers.2.w", "layers.2.fuse"}));
  const MatchedTensors alone = match(two_blocks_and_mtp(), kBlocks, layout("TT", "N", true), MtpMode::kOnly);
  EXPECT_EQ(names(alone), (Texts{"output_norm.weight", "blk.2.ffn_up.weight", "blk.2.nextn.eh_proj.weight"}));
  EXPECT_EQ(alone.left_out, (Texts{"layers.0.w", "layers.1.w"}));
}

TEST(Match, what_is_left_out_may_be_missing) {
  const std::vector<Weight> trunk = {weight("norm", {4}), weight("layers.0.w", {4, 4}), weight("layers.1.w", {4, 4})};
  EXPECT_EQ(problems(trunk, kBlocks, layout("TT", "N", false), MtpMode::kLeaveOut), Texts{});
  EXPECT_EQ(problems(trunk, kBlocks, layout("TT", "N", true)), (Texts{"layers.2.w: missing", "layers.2.fuse: missing"}));
  try {
    match(trunk, kBlocks, layout("TT", "N", true));
  } catch (const Error& error) {
    EXPECT_EQ(error.hint(), "--no-mtp converts the model without its MTP block");
  }
}

TEST(Match, all_problems_are_findings_and_the_message_names_the_first) {
  std::vector<Weight> weights;
  for (int i = 0; i < 20; ++i) weights.push_back(weight("stray." + std::to_string(i) + ".x", {1}));
  weights.push_back(weight("layers.0.w", {4, 3}));
  try {
    match(weights, kBlocks, layout("T"));
    FAIL() << "it matched";
  } catch (const Refused& refused) {
    EXPECT_EQ(refused.code(), Exit::kBadInput);
    EXPECT_EQ(refused.findings().size(), 22u);
    EXPECT_NE(refused.message().find("(20 unknown, 1 of another shape or type, 1 missing)"), std::string::npos)
        << refused.message();
    EXPECT_NE(refused.message().find("and 14 more"), std::string::npos) << refused.message();
    EXPECT_EQ(refused.hint(), "ggufmill plan lists all of them");
  }
}

const std::vector<Rule> kForms = {{.from = "layers.{bid}.fused",
                                   .to = "blk.{bid}.ffn_gate_exps.weight",
                                   .shape = {"n_expert", "n", "n"},
                                   .move = "n_expert [half other] n -> n_expert half n",
                                   .presence = Presence::kOneOf},
                                  {.from = "layers.{bid}.fused",
                                   .to = "blk.{bid}.ffn_up_exps.weight",
                                   .shape = {"n_expert", "n", "n"},
                                   .move = "n_expert [half other] n -> n_expert other n",
                                   .presence = Presence::kOneOf},
                                  {.from = "layers.{bid}.experts.{xid}.gate",
                                   .to = "blk.{bid}.ffn_gate_exps.weight",
                                   .shape = {"half", "n"},
                                   .presence = Presence::kOneOf},
                                  {.from = "layers.{bid}.experts.{xid}.up",
                                   .to = "blk.{bid}.ffn_up_exps.weight",
                                   .shape = {"half", "n"},
                                   .presence = Presence::kOneOf}};

TEST(Match, each_block_has_one_form_of_several) {
  std::vector<Weight> weights = {weight("layers.0.fused", {2, 4, 4})};
  for (const char* name : {"0.gate", "0.up", "1.gate", "1.up"})
    weights.push_back(weight("layers.1.experts." + std::string(name), {2, 4}));
  const MatchedTensors matched = match(weights, kForms, layout("TT"));
  ASSERT_EQ(matched.tensors.size(), 4u);
  for (const ModelTensor& t : matched.tensors) EXPECT_EQ(t.ne, (std::vector<uint64_t>{4, 2, 2})) << t.name;
}

TEST(Match, a_form_that_is_begun_must_be_whole) {
  const std::vector<Weight> weights = {weight("layers.0.experts.0.gate", {2, 4}), weight("layers.0.experts.1.gate", {2, 4}),
                                       weight("layers.0.experts.1.up", {2, 4})};
  EXPECT_EQ(problems(weights, kForms, layout("T")), Texts{"layers.0.experts.0.up: missing"});
  EXPECT_EQ(problems({}, kForms, layout("T")), Texts{"layers.0.fused: missing"});
}

TEST(Match, two_forms_in_one_block_are_refused) {
  std::vector<Weight> weights = {weight("layers.0.fused", {2, 4, 4})};
  for (const char* name : {"0.up", "1.up"}) weights.push_back(weight("layers.0.experts." + std::string(name), {2, 4}));
  EXPECT_EQ(problems(weights, kForms, layout("T")),
            Texts{"layers.0.experts.0.up: is there beside tensor \"layers.0.fused\", another form of the same"});
}

TEST(Match, a_block_behind_the_last_is_no_multi_token_prediction_by_its_number_alone) {
  const std::vector<Weight> weights = {weight("norm", {4}), weight("layers.0.w", {4, 4}), weight("layers.1.w", {4, 4})};
  EXPECT_EQ(problems(weights, kBlocks, layout("T", "N", false), MtpMode::kLeaveOut),
            Texts{"layers.1.w: unknown: the model has 1 blocks"});
}

TEST(Match, a_part_of_the_trunk_is_missing_beside_multi_token_prediction) {
  std::vector<Weight> weights = {weight("norm", {4}), weight("layers.0.w", {4, 4}), weight("layers.2.w", {4, 4}),
                                 weight("layers.2.fuse", {4, 4})};
  EXPECT_EQ(problems(weights, kBlocks, layout("TT", "N", true), MtpMode::kOnly), Texts{"layers.1.w: missing"});
  std::erase_if(weights, [](const Weight& w) { return w.name == "layers.0.w"; });
  EXPECT_EQ(problems(weights, kBlocks, layout("TT", "N", true), MtpMode::kOnly), Texts{}) << "all of it may";
}

TEST(Match, what_is_missing_has_the_checkpoints_name) {
  Layout l = layout("TT", "N", true);
  l.mtp_prefix = "mtp.";
  l.prefixes = {{"language.", ""}, {"mtp.0.", "layers.2."}};
  EXPECT_EQ(
      problems({weight("language.norm", {4}), weight("language.layers.0.w", {4, 4}), weight("mtp.0.fuse", {4, 4})}, kBlocks, l),
      (Texts{"language.layers.1.w: missing", "mtp.0.w: missing"}));
}

TEST(Match, parts_in_different_orders_become_runs_of_rows) {
  const std::vector<Rule> rules = {{.from = "a", .to = "x.weight", .shape = {"n", "n"}, .move = "[half other] n -> half n"},
                                   {.from = "a", .to = "x.weight", .shape = {"n", "n"}, .move = "[half other] n -> other n"},
                                   {.from = "b", .to = "x.weight", .shape = {"n", "n"}, .move = "(half two) n -> (two half) n"}};
  const MatchedTensors matched = match({weight("a", {4, 4}), weight("b", {4, 4})}, rules, layout(""));
  ASSERT_EQ(matched.tensors.size(), 1u);
  const ModelTensor& t = matched.tensors[0];
  EXPECT_EQ(t.ne, (std::vector<uint64_t>{4, 8}));
  EXPECT_EQ(t.row_map, RowMap{});
  std::vector<std::pair<uint64_t, uint64_t>> rows;  // source and first element of every output row
  for (const Piece& p : t.pieces) {
    EXPECT_EQ(p.out_row, rows.size());
    for (uint64_t r = 0; r < p.rows; ++r) rows.emplace_back(p.source, p.first_elem + 4 * r);
  }
  EXPECT_EQ(rows, (std::vector<std::pair<uint64_t, uint64_t>>{{0, 0}, {0, 4}, {0, 8}, {0, 12}, {1, 0}, {1, 8}, {1, 4}, {1, 12}}));
}

TEST(Match, rows_of_two_sources_stand_beside_each_other) {
  const std::vector<Rule> rules = {{.from = "e", .to = "x.weight", .shape = {"n", "n"}},
                                   {.from = "h", .to = "x.weight", .shape = {"n", "half"}, .beside = true}};
  const MatchedTensors matched = match({weight("e", {4, 4}), weight("h", {4, 2})}, rules, layout(""));
  ASSERT_EQ(matched.tensors.size(), 1u);
  EXPECT_EQ(matched.tensors[0].ne, (std::vector<uint64_t>{6, 4}));
  ASSERT_EQ(matched.tensors[0].pieces.size(), 1u);
  EXPECT_EQ(matched.tensors[0].pieces[0].beside, 1u);
}

TEST(Match, types_that_are_fixed_and_what_they_read) {
  const std::vector<Rule> rules = {
      {.from = "ids", .to = "blk.0.ids.weight", .shape = {"n", "half"}, .fixed_type = FixedType::kI32},
      {.from = "f", .to = "blk.0.f.weight", .shape = {"n", "n"}, .fixed_type = FixedType::kF32},
      {.from = "w", .to = "blk.0.w.weight", .shape = {"n", "n"}},
      {.from = "r", .to = "blk.0.ffn_gate_inp.weight", .shape = {"n", "n"}, .fixed_type = FixedType::kNone}};
  const auto with_ids = [](DType ids) {
    return std::vector<Weight>{weight("ids", {4, 2}, ids), weight("f", {4, 4}), weight("w", {4, 4}), weight("r", {4, 4})};
  };
  const MatchedTensors matched = match(with_ids(DType::I64), rules, layout(""));
  EXPECT_EQ(matched.tensors[0].fixed_type, GgmlType::I32);
  EXPECT_EQ(matched.tensors[1].fixed_type, GgmlType::F32);
  EXPECT_EQ(matched.tensors[2].fixed_type, std::nullopt);
  EXPECT_EQ(matched.tensors[3].fixed_type, std::nullopt);
  EXPECT_EQ(problems(with_ids(DType::BF16), rules, layout("")), Texts{"ids: type BF16, expected I32 or I64"});
  EXPECT_EQ(
      problems({weight("ids", {4, 2}, DType::I32), weight("f", {4, 4}, DType::I32), weight("w", {4, 4}), weight("r", {4, 4})},
               rules, layout("")),
      Texts{"f: type I32, expected BF16, F16, F32 or a quantized form"});
}

TEST(Match, names_with_another_beginning) {
  Layout l = layout("T", "N", true);
  l.prefixes = {{"language.", ""}, {"mtp.0.", "layers.1."}};
  l.dropped_prefixes = {"vision."};
  const MatchedTensors matched =
      match({weight("language.norm", {4}), weight("language.layers.0.w", {4, 4}), weight("mtp.0.w", {4, 4}),
             weight("mtp.0.fuse", {4, 4}), weight("vision.a", {1}), weight("vision.b", {1})},
            kBlocks, l);
  EXPECT_EQ(names(matched),
            (Texts{"output_norm.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight", "blk.1.nextn.eh_proj.weight"}));
  ASSERT_EQ(matched.findings.size(), 1u);
  EXPECT_EQ(matched.findings[0].message, "left out, not part of the text model: vision.* (2 tensors)");
}

}  // namespace
}  // namespace ggufmill
