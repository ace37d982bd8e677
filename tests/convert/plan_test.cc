#include "convert/plan.h"

#include <gtest/gtest.h>

#include <map>

#include "quant/codecs.h"
#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

const std::filesystem::path kData = GGUFMILL_TEST_DATA;
const std::filesystem::path kMini = kData / "mini-nemotron3";
const std::filesystem::path kGoldens[] = {kMini, kData / "goldens/a-nano-bf16/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
                                          kData / "goldens/b-super-bf16/NVIDIA-Nemotron-3-Super-120B-A12B-BF16",
                                          kData / "goldens/c-ultra-bf16-mixshards/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16"};

Plan plan_of(const std::filesystem::path& path, const PlanOptions& options) {
  const Checkpoint checkpoint(path);
  return make_plan(checkpoint, describe_model(checkpoint, {}), options);
}

PlanOptions with_recipe(std::string recipe) {
  PlanOptions options;
  options.recipe = std::move(recipe);
  return options;
}

std::tuple<uint32_t, uint64_t> first_source(const Plan& plan, const PlannedTensor& t) {
  std::tuple<uint32_t, uint64_t> first{UINT32_MAX, UINT64_MAX};
  for (const Piece& p : t.pieces)
    first = std::min(first, std::tuple(plan.sources[p.source].codes.shard, plan.sources[p.source].codes.extent.file_offset));
  return first;
}

TEST(Plan, HeadersParseBackToThePlanAndOffsetsFollowTheSource) {
  const TempFolder folder;
  for (const auto& golden : kGoldens) {
    for (const uint64_t max_tensors : {uint64_t{0}, uint64_t{20}}) {
      PlanOptions options = with_recipe("Q8_0");
      if (max_tensors > 0) options.split = {SplitOptions::Mode::kTensors, 0, max_tensors};
      const Plan plan = plan_of(golden, options);
      size_t tensor = 0;
      for (size_t f = 0; f < plan.files.size(); ++f) {
        const PlannedFile& file = plan.files[f];
        const auto path = folder.write(file.name, {reinterpret_cast<const char*>(file.header.data()), file.header.size()});
        std::filesystem::resize_file(path, file.bytes);  // the tensors' bytes are not looked at
        const GgufHeader header = read_gguf_header(InputFile(path));
        EXPECT_EQ(header.data_offset, file.header.size());
        EXPECT_EQ(header.data_end, file.bytes);
        ASSERT_EQ(header.tensors.size(), file.n_tensors);
        EXPECT_EQ(file.first_tensor, tensor);
        for (const GgufTensor& t : header.tensors) {
          const PlannedTensor& planned = plan.tensors[tensor++];
          EXPECT_EQ(t.name, planned.name);
          EXPECT_EQ(t.type, planned.type);
          EXPECT_EQ(t.ne, planned.ne);
          EXPECT_EQ(t.extent, planned.extent) << t.name;
          EXPECT_EQ(planned.file, f);
        }
      }
      EXPECT_EQ(tensor, plan.tensors.size());
      for (size_t i = 1; i < plan.tensors.size(); ++i) {
        EXPECT_LT(first_source(plan, plan.tensors[i - 1]), first_source(plan, plan.tensors[i])) << plan.tensors[i].name;
      }
    }
  }
}

TEST(Plan, NamesFilesAfterModelAndRecipe) {
  EXPECT_EQ(plan_of(kMini, with_recipe("q8_0")).files[0].name, "mini-nemotron3-Q8_0.gguf");
  PlanOptions options = with_recipe("F16");
  options.stem = "mine";
  EXPECT_EQ(plan_of(kMini, options).files[0].name, "mine.gguf");
}

TEST(Plan, HostileModelNamesBecomePlainFileNames) {
  const Checkpoint checkpoint(kMini);
  Model model = describe_model(checkpoint, {});
  const auto stem_of = [&](const std::string& name) {
    model.name = name;
    return make_plan(checkpoint, model, with_recipe("F16")).stem;
  };
  EXPECT_EQ(stem_of("../../etc/x"), ".._.._etc_x-F16");
  EXPECT_EQ(stem_of("a\nb\x7f\x1b[2J"), "a_b__[2J-F16");
  EXPECT_EQ(stem_of("M\xC3\xA4rz"), "M\xC3\xA4rz-F16") << "UTF-8 stays";
  EXPECT_EQ(stem_of("M\xE4rz"), "M_rz-F16") << "Latin-1 does not";
  EXPECT_EQ(stem_of("a\xC2\x85z"), "a__z-F16") << "a C1 control character";
  PlanOptions options = with_recipe("F16");
  options.stem = "a\nb";
  expect_error(Exit::kUsage, "output name a\\x0ab: control characters or broken UTF-8",
               [&] { make_plan(checkpoint, model, options); });
}

TEST(Plan, MetadataOptionsOverride) {
  PlanOptions options = with_recipe("F16");
  options.metadata = {parse_metadata_option("general.name=str:Other = name: yes"), parse_metadata_option("my.number=u16:65535")};
  const TempFolder folder;
  const Plan plan = plan_of(kMini, options);
  const auto path =
      folder.write("x.gguf", {reinterpret_cast<const char*>(plan.files[0].header.data()), plan.files[0].header.size()});
  std::filesystem::resize_file(path, plan.files[0].bytes);
  const Metadata metadata = read_gguf_header(InputFile(path)).metadata;
  EXPECT_EQ(*metadata.find_string("general.name"), "Other = name: yes");
  EXPECT_EQ(std::get<uint16_t>(*metadata.find("my.number")), 65535);
  EXPECT_EQ(std::get<uint32_t>(*metadata.find("general.file_type")), 1u);
}

TEST(Plan, MetadataOptionThatChangesATypeIsAFinding) {
  PlanOptions options = with_recipe("F16");
  options.metadata = {parse_metadata_option("general.name=str:Other"), parse_metadata_option("general.file_type=u8:1")};
  const Plan plan = plan_of(kMini, options);
  ASSERT_EQ(plan.findings.size(), 1u);
  EXPECT_EQ(plan.findings[0].message,
            "--metadata general.file_type: changes its type from u32 to u8; readers may refuse the file");
}

TEST(Plan, MetadataOptionTypes) {
  EXPECT_EQ(parse_metadata_option("k=u8:255").second, MetadataValue(uint8_t{255}));
  EXPECT_EQ(parse_metadata_option("k=i8:-128").second, MetadataValue(int8_t{-128}));
  EXPECT_EQ(parse_metadata_option("k=i16:-1").second, MetadataValue(int16_t{-1}));
  EXPECT_EQ(parse_metadata_option("k=u32:1").second, MetadataValue(uint32_t{1}));
  EXPECT_EQ(parse_metadata_option("k=int:-7").second, MetadataValue(int32_t{-7}));
  EXPECT_EQ(parse_metadata_option("k=u64:18446744073709551615").second, MetadataValue(UINT64_MAX));
  EXPECT_EQ(parse_metadata_option("k=i64:-9").second, MetadataValue(int64_t{-9}));
  EXPECT_EQ(parse_metadata_option("k=float:0.5").second, MetadataValue(0.5f));
  EXPECT_EQ(parse_metadata_option("k=f64:1e300").second, MetadataValue(1e300));
  EXPECT_EQ(parse_metadata_option("k=bool:true").second, MetadataValue(true));
  EXPECT_EQ(parse_metadata_option("k=str:").second, MetadataValue(std::string()));
}

TEST(Plan, MetadataOptionMistakes) {
  const std::string types = ": type must be one of str u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool";
  for (const std::string option : {"", "key", "=str:x", "key=str"}) {
    expect_error(Exit::kUsage, "--metadata " + option + ": expected KEY=TYPE:VALUE", [&] { parse_metadata_option(option); });
  }
  expect_error(Exit::kUsage, "--metadata k=u128:1" + types, [] { parse_metadata_option("k=u128:1"); });
  expect_error(Exit::kUsage, "--metadata k=bool:yes: a bool is true or false", [] { parse_metadata_option("k=bool:yes"); });
  for (const std::string value : {"256", "-1", "", "1x", " 1"}) {
    expect_error(Exit::kUsage, "--metadata k=u8:" + value + ": \"" + value + "\" is not a value of that type",
                 [&] { parse_metadata_option("k=u8:" + value); });
  }
  // What the layout decides, and what a header cannot hold.
  for (const std::string key : {"general.alignment", "split.count", "split.no"}) {
    expect_error(Exit::kUsage, "--metadata " + key + "=u32:64: " + key + " is the program's to set",
                 [&] { parse_metadata_option(key + "=u32:64"); });
  }
  expect_error(Exit::kUsage, "--metadata k=str:a\\xffb: control characters or broken UTF-8", [] {
    parse_metadata_option(
        "k=str:a\xff"
        "b");
  });
  EXPECT_EQ(error_of([] { parse_metadata_option(std::string(65536, 'k') + "=str:x"); }).code(), Exit::kUsage);
}

TEST(Plan, UnknownDtypeIsNamedBeforeWork) {
  const Checkpoint checkpoint(kMini);
  Model model = describe_model(checkpoint, {});
  // A copy of the checkpoint whose first matrix says it is I16.
  const TempFolder folder;
  std::filesystem::copy(kMini, folder / "m");
  const SourceTensor& first = checkpoint.tensors()[model.tensors[0].pieces[0].source];
  const std::string shard = checkpoint.shards()[first.shard].name;
  std::string bytes = folder.read("m/" + shard);
  const size_t at = bytes.find("BF16", bytes.find("\"" + first.name + "\""));
  bytes.replace(at, 5, "I16\" ");  // as long as BF16"
  folder.write("m/" + shard, bytes);
  const Checkpoint broken(folder / "m");
  const Error error = error_of([&] { describe_model(broken, {}); });
  EXPECT_EQ(error.code(), Exit::kBadInput);
  EXPECT_NE(error.message().find("tensor \"" + first.name + "\" type I16, expected BF16, F16, F32 or a quantized form"),
            std::string::npos)
      << error.message();
}

// ---- importance

std::shared_ptr<const Imatrix> mini_imatrix() { return std::make_shared<const Imatrix>(kData / "mini-eval/imatrix.gguf"); }

TEST(Plan, ImportanceIsBoundToTensorsWhoseTypeUsesIt) {
  PlanOptions options = with_recipe("nemotron3-4bit");
  options.imatrix = mini_imatrix();
  const Plan plan = plan_of(kMini, options);
  size_t bound = 0;
  for (const PlannedTensor& t : plan.tensors) {
    const bool searched = find_codec(t.type)->uses_importance;
    EXPECT_TRUE(searched || t.importance == nullptr) << t.name;
    if (t.importance == nullptr) continue;
    ++bound;
    EXPECT_EQ(t.importance->tensor, t.name);
  }
  EXPECT_GT(bound, 0u);
  EXPECT_TRUE(plan.imatrix_hash.has_value());
}

TEST(Plan, ImportanceOfAnotherShapeIsRefused) {
  const Checkpoint checkpoint(kMini);
  const Model model = describe_model(checkpoint, {});
  PlanOptions options = with_recipe("nemotron3-4bit");
  options.imatrix = mini_imatrix();
  Model other = model;
  for (ModelTensor& t : other.tensors) {
    if (t.ne.size() == 3) t.ne = {t.ne[0], t.ne[1] * t.ne[2], 1};  // one matrix instead of one per expert
  }
  const Error error = error_of([&] { make_plan(checkpoint, other, options); });
  EXPECT_EQ(error.code(), Exit::kBadInput);
  EXPECT_TRUE(error.message().starts_with("imatrix.gguf: tensor \"blk.")) << error.message();
  EXPECT_NE(error.message().find("values, the tensor needs 1 x"), std::string::npos) << error.message();
}

// A plain matrix may be seen in rows of another length, a quantized one has its scales in the way.
TEST(Plan, QuantizedRowsOfAnotherLengthAreRefused) {
  const Checkpoint checkpoint(kData / "goldens/d2-ultra-nvfp4-modelopt/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4");
  Model model = describe_model(checkpoint, {});
  const auto tensor = std::ranges::find(model.tensors, "blk.0.ssm_out.weight", &ModelTensor::name);
  ASSERT_NE(tensor, model.tensors.end());
  tensor->ne = {512, 128};
  tensor->pieces[0].rows = 128;
  expect_error(
      Exit::kBadInput,
      "model-00003-of-00003.safetensors: tensor \"backbone.layers.0.mixer.out_proj.weight\": FP8, one scale in rows of 256, "
      "but blk.0.ssm_out.weight has rows of 512",
      [&] { make_plan(checkpoint, model, with_recipe("Q8_0")); });
}

}  // namespace
}  // namespace ggufmill
