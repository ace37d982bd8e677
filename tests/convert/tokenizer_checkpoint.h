// A checkpoint that has nothing but tokenizer files: a shard with one byte and an empty config.json stand for the rest.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "convert/arch/config.h"
#include "convert/tokenizer/tokenizer.h"

namespace ggufmill {

struct TokenizerCheckpoint {
  std::map<std::string, std::string> files = {{"config.json", "{}"}};
  std::vector<Finding> findings;  // of the last write()

  TokenizerCheckpoint() = default;
  // All small files of a folder.
  explicit TokenizerCheckpoint(const std::filesystem::path& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".safetensors") || name.ends_with(".index.json")) continue;
      files[name] = InputFile(entry.path()).read_text(kMaxSmallFileBytes);
    }
  }

  // The tokenizer's keys.
  Metadata write(const TokenizerRequest& request) {
    const auto& test = *testing::UnitTest::GetInstance()->current_test_info();
    std::string name = "ggufmill-" + std::string(test.test_suite_name()) + "-" + test.name();
    std::replace(name.begin(), name.end(), '/', '-');
    const Folder folder{std::filesystem::path(testing::TempDir()) / name};
    std::filesystem::create_directories(folder.path);
    const std::string header = R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   )";
    save(folder.path / "model.safetensors", static_cast<char>(header.size()) + std::string(7, '\0') + header + 'x');
    for (const auto& [file, text] : files) save(folder.path / file, text);
    const Checkpoint checkpoint(folder.path);
    const Config config(JsonDocument::load(checkpoint.file("config.json"), kMaxSmallFileBytes));
    Metadata metadata;
    findings.clear();
    add_tokenizer_metadata(checkpoint, config, request, metadata, findings);
    return metadata;
  }

  // The message of the Error that write() must throw, with its hint.
  std::string error(const TokenizerRequest& request) {
    try {
      write(request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::kBadInput) << error.message();
      return error.message() + (error.hint().empty() ? "" : " | " + error.hint());
    }
    return "(no error)";
  }

 private:
  struct Folder {
    std::filesystem::path path;
    ~Folder() { std::filesystem::remove_all(path); }
  };
  static void save(const std::filesystem::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
};

template <typename T>
std::vector<T> array_of(const Metadata& metadata, const std::string& key) {
  const MetadataValue* value = metadata.find("tokenizer.ggml." + key);
  return value == nullptr ? std::vector<T>() : std::get<std::vector<T>>(*value);
}

}  // namespace ggufmill
