#include "convert/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "convert/scale_tensors.h"
#include "formats/gguf.h"
#include "formats/hash.h"
#include "tests/convert/event_log.h"
#include "tests/convert/small_plan.h"
#include "tests/formats/expect_error.h"

namespace ggufmill {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> digests(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    out[entry.path().filename()] = sha256(as_bytes(std::string(std::istreambuf_iterator<char>(in), {}))).hex();
  }
  return out;
}

// The trained mini model, planned in `recipe`, in shards.
class Mini {
 public:
  explicit Mini(const std::string& recipe = "Q8_0")
      : checkpoint_(fs::path(GGUFMILL_TEST_DATA) / "mini-nemotron3"), model_(describe_model(checkpoint_, {})) {
    PlanOptions options;
    options.recipe = recipe;
    options.split = {SplitOptions::Mode::kSize, 4'000'000, 0};
    options.stem = "mini";
    plan = make_plan(checkpoint_, model_, options);
  }

 private:
  Checkpoint checkpoint_;
  Model model_;

 public:
  Plan plan;
};

RunOptions options_for(const TempFolder& folder, unsigned threads = 2) {
  RunOptions options;
  options.folder = folder.path();
  options.threads = threads;
  options.program_version = "test";
  return options;
}

const std::atomic<bool> kGoOn{false};

TEST(Executor, ConvertsTheMiniModel) {
  const Mini mini;
  const TempFolder folder;
  EventLog events;
  EXPECT_EQ(run_plan(mini.plan, options_for(folder), events, kGoOn), Outcome::kFinished);
  EXPECT_EQ(events.errors.size(), mini.plan.tensors.size());
  ASSERT_TRUE(events.figures.has_value());
  EXPECT_EQ(events.figures->bytes_read, mini.plan.source_bytes()) << "every byte once";
  EXPECT_EQ(events.figures->bytes_kept, 0u);
  EXPECT_FALSE(events.bytes_kept.has_value());
  const auto found = digests(folder.path());
  EXPECT_EQ(found.size(), mini.plan.files.size() + 2);
  for (const PlannedFile& f : mini.plan.files) {
    EXPECT_EQ(found.at(f.name), events.files.at(f.name));
    EXPECT_EQ(fs::file_size(folder / f.name), f.bytes);
  }
  const GgufSet set = open_gguf_set(folder / mini.plan.files[0].name);
  for (const PlannedTensor& t : mini.plan.tensors) {
    const auto& tensors = set.headers[t.file].tensors;
    const auto found_tensor = std::find_if(tensors.begin(), tensors.end(), [&](const GgufTensor& g) { return g.name == t.name; });
    ASSERT_NE(found_tensor, tensors.end());
    EXPECT_EQ(found_tensor->extent, t.extent) << "the plan's offsets are the file's";
  }
}

TEST(Executor, BytesDoNotDependOnThreadsMemoryOrHashes) {
  const Mini mini;
  std::optional<std::map<std::string, std::string>> first;
  struct Case {
    unsigned threads;
    uint64_t memory;
  };
  for (const Case& c : {Case{1, 512ull << 20}, Case{2, 2ull << 20}, Case{5, 64ull << 20}}) {
    const TempFolder folder;
    RunOptions options = options_for(folder, c.threads);
    options.memory_bytes = c.memory;
    EventLog events;
    ASSERT_EQ(run_plan(mini.plan, options, events, kGoOn), Outcome::kFinished);
    const auto found = digests(folder.path());
    if (!first) first = found;
    EXPECT_EQ(found, *first) << c.threads << " threads";
  }
  const TempFolder folder;
  RunOptions options = options_for(folder);
  options.hash_sources = false;
  EventLog events;
  run_plan(mini.plan, options, events, kGoOn);
  for (const PlannedFile& f : mini.plan.files) EXPECT_EQ(events.files.at(f.name), first->at(f.name));
}

TEST(Executor, GoesOnAfterAStopAtEveryStage) {
  const Mini mini;
  const TempFolder whole;
  EventLog unused;
  run_plan(mini.plan, options_for(whole), unused, kGoOn);
  const auto want = digests(whole.path());
  for (const size_t stop_after :
       {size_t{1}, mini.plan.tensors.size() / 2, mini.plan.tensors.size() - 1, mini.plan.tensors.size()}) {
    const TempFolder folder;
    std::atomic<bool> stop{false};
    EventLog events;
    events.on_tensor = [&](size_t done) {
      if (done != stop_after) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the hash cursor waits for the next rows by now
      stop = true;
    };
    const Outcome outcome = run_plan(mini.plan, options_for(folder, 1), events, stop);
    EventLog resumed;
    if (outcome == Outcome::kStopped) {
      EXPECT_FALSE(events.figures.has_value());
      EXPECT_EQ(digests(folder / "mini.ggufmill").count("lock"), 0u) << "the lock is given back";
      for (const auto& entry : fs::directory_iterator(folder.path())) EXPECT_EQ(entry.path().filename(), "mini.ggufmill");
      ASSERT_EQ(run_plan(mini.plan, options_for(folder, 2), resumed, kGoOn), Outcome::kFinished);
      ASSERT_TRUE(resumed.bytes_kept.has_value());
      EXPECT_GT(*resumed.bytes_kept, 0u);
      EXPECT_EQ(resumed.figures->bytes_kept, *resumed.bytes_kept);
    }
    EXPECT_TRUE(outcome == Outcome::kStopped || stop_after == mini.plan.tensors.size()) << stop_after;
    EXPECT_EQ(digests(folder.path()), want) << stop_after;
  }
}

// The small plan with experts in NVFP4, which brings a tensor without source rows: their scale.
class ScaledPlan : public SmallPlan {
 public:
  static constexpr size_t kScale = 2;
  ScaledPlan() {
    plan.tensors[1].type = GgmlType::NVFP4;
    add_scale_tensors({}, plan.tensors, plan.findings);
    finish();
  }
  const PlannedTensor& scale() const { return plan.tensors[kScale]; }
  const PlannedFile& file() const { return plan.files[scale().file]; }
};

TEST(Executor, WritesTensorsWithoutSourceRows) {
  const ScaledPlan scaled;
  ASSERT_EQ(scaled.scale().name, "blk.0.ffn_up_exps.scale");
  ASSERT_EQ(scaled.scale().literal.size(), 8u) << "two experts";
  const TempFolder folder;
  EventLog events;
  ASSERT_EQ(run_plan(scaled.plan, options_for(folder), events, kGoOn), Outcome::kFinished);
  const std::string bytes = folder.read(scaled.file().name).substr(scaled.scale().extent.file_offset, 8);
  EXPECT_EQ(std::memcmp(bytes.data(), scaled.scale().literal.data(), 8), 0);
  EXPECT_EQ(events.errors.at(scaled.scale().name), 0);
  EXPECT_EQ(events.errors.size(), scaled.plan.tensors.size());
  EXPECT_LT(events.errors.at("blk.0.ffn_up_exps.weight"), 0.12) << "measured with the scale";
  uint64_t written = 0;
  for (const PlannedTensor& t : scaled.plan.tensors) written += t.extent.bytes;
  EXPECT_EQ(events.figures->bytes_written, written);
  EXPECT_EQ(events.figures->bytes_read, scaled.plan.source_bytes());
}

TEST(Executor, TensorsWithoutSourceRowsAreKeptOrMendedByAResume) {
  const ScaledPlan scaled;
  const TempFolder whole;
  EventLog unused;
  run_plan(scaled.plan, options_for(whole), unused, kGoOn);
  for (const bool damaged : {false, true}) {
    for (size_t stop_after = 1; stop_after <= scaled.plan.tensors.size(); ++stop_after) {
      const TempFolder folder;
      std::atomic<bool> stop{false};
      EventLog events, resumed;
      events.on_tensor = [&](size_t done) { stop = stop || done == stop_after; };
      if (run_plan(scaled.plan, options_for(folder, 1), events, stop) == Outcome::kStopped) {
        EXPECT_EQ(events.errors.count(scaled.scale().name), 1u) << "it comes before the first source row";
        if (damaged) {
          OutputFile part(work_folder_path(scaled.plan, folder.path()) / (scaled.file().name + ".part"),
                          OutputFile::Mode::kReopen);
          part.write_exact(scaled.scale().extent.file_offset, std::vector<std::byte>(4, std::byte{7}));
        }
        ASSERT_EQ(run_plan(scaled.plan, options_for(folder), resumed, kGoOn), Outcome::kFinished);
        EXPECT_EQ(resumed.errors.count(scaled.scale().name), damaged ? 1u : 0u) << "written again only where it rotted";
        if (!damaged) {
          EXPECT_GE(resumed.bytes_kept.value_or(0), 8u);
        }
      } else {
        EXPECT_EQ(stop_after, scaled.plan.tensors.size());
      }
      EXPECT_EQ(digests(folder.path()), digests(whole.path())) << stop_after << (damaged ? ", damaged" : "");
    }
  }
}

// The journal gives every row record a source shard; that of a tensor without one is the first. Where it changed, the tensor is
// written again, also into a file that nothing else of that shard feeds and whose hash therefore still counts.
TEST(Executor, TensorsWithoutSourceRowsSurviveAChangeOfTheSource) {
  ScaledPlan scaled;
  std::swap(scaled.plan.tensors[3], scaled.plan.tensors[4]);  // the scale's file holds the norm besides, of the second shard
  scaled.finish();
  ASSERT_EQ(scaled.plan.tensors[3].file, scaled.scale().file);
  const TempFolder whole, folder;
  EventLog unused, events, resumed;
  run_plan(scaled.plan, options_for(whole), unused, kGoOn);
  std::atomic<bool> stop{false};
  events.on_file = [&] { stop = events.files.contains(scaled.file().name); };
  ASSERT_EQ(run_plan(scaled.plan, options_for(folder, 1), events, stop), Outcome::kStopped);
  const fs::path source = scaled.folder.write("a.safetensors", scaled.shard_bytes(0));
  fs::last_write_time(source, fs::last_write_time(source) + std::chrono::seconds(1));
  scaled.plan.shards[0].id = InputFile(source).id();
  ASSERT_EQ(run_plan(scaled.plan, options_for(folder), resumed, kGoOn), Outcome::kFinished);
  EXPECT_TRUE(resumed.errors.contains(scaled.scale().name)) << "written again";
  EXPECT_FALSE(resumed.files.contains(scaled.file().name)) << "not hashed again";
  EXPECT_EQ(digests(folder.path()), digests(whole.path()));
}

TEST(Executor, StopBeforeTheFirstTileLeavesSomethingToResume) {
  const SmallPlan small;
  const TempFolder folder;
  const std::atomic<bool> stop{true};
  EventLog events;
  EXPECT_EQ(run_plan(small.plan, options_for(folder), events, stop), Outcome::kStopped);
  EXPECT_EQ(run_plan(small.plan, options_for(folder), events, kGoOn), Outcome::kFinished);
  EXPECT_EQ(events.bytes_kept, 0u);
}

TEST(Executor, FailureOfAListenerEndsTheRunAndKeepsTheWork) {
  const Mini mini;
  const TempFolder folder;
  EventLog events;
  events.on_tensor = [](size_t done) {
    if (done == 3) throw Error(Exit::kSystem, "listener: full");
  };
  expect_error(Exit::kSystem, "listener: full", [&] { run_plan(mini.plan, options_for(folder), events, kGoOn); });
  EventLog resumed;
  EXPECT_EQ(run_plan(mini.plan, options_for(folder), resumed, kGoOn), Outcome::kFinished);
  EXPECT_GT(resumed.bytes_kept.value_or(0), 0u);
}

TEST(Executor, ExistingOutputIsRefusedOrReplaced) {
  const SmallPlan small;
  const TempFolder folder;
  folder.write("out.gguf", "older, unsplit");
  folder.write("out-notes.txt", "not ours");
  RunOptions options = options_for(folder);
  EventLog events;
  expect_error(Exit::kCannotCreate, (folder / "out.gguf").string() + ": exists already",
               [&] { run_plan(small.plan, options, events, kGoOn); });
  EXPECT_FALSE(fs::exists(folder / "out.ggufmill")) << "a refused run leaves nothing";
  options.force = true;
  EXPECT_EQ(run_plan(small.plan, options, events, kGoOn), Outcome::kFinished);
  EXPECT_FALSE(fs::exists(folder / "out.gguf"));
  EXPECT_EQ(folder.read("out-notes.txt"), "not ours");
  EXPECT_FALSE(fs::exists(folder / "out.ggufmill"));
}

TEST(Executor, RestartDiscardsTheWork) {
  const SmallPlan small;
  const TempFolder folder;
  std::atomic<bool> stop{true};
  EventLog events;
  run_plan(small.plan, options_for(folder), events, stop);
  SmallPlan other;
  other.plan.tensors[0].type = GgmlType::Q4_0;
  other.finish();
  RunOptions options = options_for(folder);
  EXPECT_EQ(error_of([&] { run_plan(other.plan, options, events, kGoOn); }).code(), Exit::kCannotCreate);
  options.restart = true;
  EXPECT_EQ(run_plan(other.plan, options, events, kGoOn), Outcome::kFinished);
  EXPECT_FALSE(events.bytes_kept.has_value());
}

TEST(Executor, RefusalsBeforeWorkLeaveNothing) {
  SmallPlan small;
  const TempFolder folder;
  RunOptions options = options_for(folder);
  options.memory_bytes = 1000;
  EventLog events;
  EXPECT_EQ(error_of([&] { run_plan(small.plan, options, events, kGoOn); }).code(), Exit::kUsage);
  EXPECT_TRUE(fs::is_empty(folder.path()));
  options.memory_bytes = 64 << 20;
  small.plan.files[0].bytes = 1ull << 60;
  const Error full = error_of([&] { run_plan(small.plan, options, events, kGoOn); });
  EXPECT_EQ(full.code(), Exit::kSystem);
  EXPECT_NE(full.message().find("not enough disk space"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder.path())) << "another recipe may be tried at once";
}

TEST(Executor, ShardWithAnotherHashThanItsNameIsRefused) {
  SmallPlan small;
  const TempFolder folder;
  small.plan.shards[0].expected_sha256 = sha256(as_bytes("what the hub has"));
  EventLog events;
  const Error error = error_of([&] { run_plan(small.plan, options_for(folder), events, kGoOn); });
  EXPECT_EQ(error.code(), Exit::kBadInput);
  EXPECT_EQ(error.message(), "a.safetensors: SHA-256 is " + sha256(as_bytes(small.shard_bytes(0))).hex() +
                                 ", the download's name for it says " + small.plan.shards[0].expected_sha256->hex());
  EXPECT_EQ(error.hint(), "the download is damaged: fetch this file again");
  small.plan.shards[0].expected_sha256 = sha256(as_bytes(small.shard_bytes(0)));
  EXPECT_EQ(run_plan(small.plan, options_for(folder), events, kGoOn), Outcome::kFinished);
}

TEST(Executor, BadValueEndsTheRunAtOnceAndNothingHangs) {
  SmallPlan small;
  std::string bytes = small.shard_bytes(0);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + small.plan.sources[0].codes.extent.file_offset, &nan, 4);
  small.plan.shards[0].id = InputFile(small.folder.write("a.safetensors", bytes)).id();
  const TempFolder folder;
  EventLog events;
  EXPECT_EQ(error_of([&] { run_plan(small.plan, options_for(folder), events, kGoOn); }).code(), Exit::kBadInput);
  RunOptions options = options_for(folder);
  options.allow_nonfinite = true;
  EXPECT_EQ(run_plan(small.plan, options, events, kGoOn), Outcome::kFinished) << "the same work goes on";
}

TEST(Executor, FailureOfAHashCursorEndsTheRunAndKeepsTheWork) {
  const Mini mini;
  const TempFolder folder;
  EventLog events;
  events.on_file = [] { throw Error(Exit::kSystem, "cursor: failed"); };
  events.on_tensor = [](size_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };  // the cursor comes before the end
  expect_error(Exit::kSystem, "cursor: failed", [&] { run_plan(mini.plan, options_for(folder), events, kGoOn); });
  EXPECT_LT(events.errors.size(), mini.plan.tensors.size()) << "the pipeline does not go on to the end";
  EventLog resumed;
  EXPECT_EQ(run_plan(mini.plan, options_for(folder), resumed, kGoOn), Outcome::kFinished);
  EXPECT_GT(resumed.bytes_kept.value_or(0), 0u);
}

TEST(Executor, StopWhileOnlyHashesAreMissingIsObeyed) {
  const Mini mini;
  const TempFolder folder;
  std::atomic<bool> stop{false};
  EventLog events;
  events.on_file = [&] { stop = true; };  // after the first of several files
  ASSERT_GT(mini.plan.files.size(), 2u);
  EXPECT_EQ(run_plan(mini.plan, options_for(folder), events, stop), Outcome::kStopped);
  EventLog resumed;
  EXPECT_EQ(run_plan(mini.plan, options_for(folder), resumed, kGoOn), Outcome::kFinished);
  EXPECT_EQ(resumed.files.size() + events.files.size(), mini.plan.files.size()) << "a hashed file is not hashed again";
}

}  // namespace
}  // namespace ggufmill
