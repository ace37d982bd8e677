#include "formats/shard_index.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/formats/expect_error.h"
#include "tests/formats/temp_folder.h"

namespace ggufmill {
namespace {

using Names = std::vector<std::string>;

ShardIndex load(const std::string& text) {
  const TempFolder folder;
  return load_shard_index(folder.write(kShardIndexName, text));
}

TEST(ShardIndex, ListsShardsAndPlaces) {
  const ShardIndex index =
      load(R"({"metadata":{"total_size":1},"weight_map":{"b":"m-2.safetensors","c":"m-1.safetensors","a":"m-2.safetensors"}})");
  EXPECT_EQ(index.shards, (Names{"m-1.safetensors", "m-2.safetensors"}));
  ASSERT_EQ(index.places.size(), 3u);
  EXPECT_EQ(index.places[0].tensor, "a");
  EXPECT_EQ(index.places[0].shard, 1u);
  EXPECT_EQ(index.places[2].tensor, "c");
  EXPECT_EQ(index.places[2].shard, 0u);
}

void expect_refused(const std::string& text, const std::string& reason) {
  const TempFolder folder;
  const auto path = folder.write(kShardIndexName, text);
  expect_error(Exit::kBadInput, path.native() + ": " + reason, [&] { load_shard_index(path); });
}

TEST(ShardIndex, RefusesOtherJson) {
  expect_refused("{}", "no object \"weight_map\"");
  expect_refused("[]", "no object \"weight_map\"");
  expect_refused(R"({"weight_map":[]})", "no object \"weight_map\"");
  expect_refused(R"({"weight_map":{}})", "\"weight_map\" is empty");
  expect_refused(R"({"weight_map":{"a":1}})", "tensor \"a\": its shard is not a string");
  expect_refused(R"({"weight_map":{"a":"x.safetensors","b":"x.safetensors","a":"y.safetensors"}})",
                 "tensor \"a\": stands twice in the index");
  EXPECT_EQ(error_of([] { load("{"); }).code(), Exit::kBadInput);
}

TEST(ShardIndex, RefusesBadNamesAllAtOnce) {
  expect_refused(R"({"weight_map":{"a":"../x.safetensors","b":"good.safetensors","c":""}})",
                 "tensor \"a\": shard name \"../x.safetensors\" holds a path separator; tensor \"c\": shard name \"\" is empty");
}

TEST(BadShardName, AllowsPlainNamesOnly) {
  EXPECT_EQ(bad_shard_name("model-00001-of-00057.safetensors"), std::nullopt);
  EXPECT_EQ(bad_shard_name(std::string(243, 'x') + ".safetensors"), std::nullopt);
  EXPECT_EQ(bad_shard_name(""), "is empty");
  EXPECT_EQ(bad_shard_name(std::string(244, 'x') + ".safetensors"), "has 256 bytes, expected at most 255");
  EXPECT_EQ(bad_shard_name(std::string_view("a\0.safetensors", 14)), "holds control characters");
  EXPECT_EQ(bad_shard_name("a\n.safetensors"), "holds control characters");
  for (const char* name :
       {"/etc/x.safetensors", "a/../../b.safetensors", "sub/x.safetensors", "\\\\h\\s.safetensors", "a\\b.safetensors"}) {
    EXPECT_EQ(bad_shard_name(name), "holds a path separator") << name;
  }
  EXPECT_EQ(bad_shard_name("..safetensors"), "holds \"..\"");
  EXPECT_EQ(bad_shard_name(".."), "holds \"..\"");
  EXPECT_EQ(bad_shard_name("C:x.safetensors"), "holds a colon");
  for (const char* name : {".", "model.bin", "config.json"})
    EXPECT_EQ(bad_shard_name(name), "does not end in .safetensors") << name;
}

TEST(ModelShards, AreTheModelFilesSorted) {
  EXPECT_EQ(model_shards(Names{"model-2.safetensors", "config.json", "model.safetensors", "consolidated.safetensors", "model.bin",
                               "model-1.safetensors", "model.safetensors.incomplete"}),
            (Names{"model-1.safetensors", "model-2.safetensors", "model.safetensors"}));
}

TEST(MissingFromCount, NamesTheAbsentMembers) {
  EXPECT_EQ(missing_from_count(Names{"model-00002-of-00004.safetensors", "model-00004-of-00004.safetensors"}),
            (Names{"model-00001-of-00004.safetensors", "model-00003-of-00004.safetensors"}));
  EXPECT_TRUE(missing_from_count(Names{"model-00001-of-00001.safetensors"}).empty());
  EXPECT_TRUE(missing_from_count(Names{"model.safetensors", "model-1.safetensors", "model-of-2.safetensors",
                                       "model-x-of-3.safetensors", "model-1-of-.safetensors", "model-1-of-999999999.safetensors"})
                  .empty());
}

TEST(MissingFromCount, KeepsSetsApart) {
  EXPECT_EQ(missing_from_count(Names{"model-1-of-2.safetensors", "model-mtp-00001-of-00002.safetensors"}),
            (Names{"model-2-of-2.safetensors", "model-mtp-00002-of-00002.safetensors"}));
}

}  // namespace
}  // namespace ggufmill
