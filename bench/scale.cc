// scale: converts one MoE layer with the true shapes of the largest model, as a whole run of the program, and prints what it
// costs: wall and CPU seconds per billion weights, the share of CPU that is not encoding, peak resident memory against the
// --memory ceiling, bytes read and written as the kernel counted them. The reference, measured in the same run, is one core
// that reads and hashes the source (SHA-256), which any pass has to do.
//
// With --against-nvfp4 the layer is converted from BF16 and from the quantized form that is downloaded most (experts NVFP4), in
// turns, its experts to one type: CPU seconds per billion weights of both, medians, and their ratio.
//
// The data is generated (random, several shards, nothing of it in the page cache) and deleted afterwards.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "bench/random_checkpoint.h"
#include "formats/hash.h"

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }
double cpu_seconds(const rusage& use) {
  const auto of = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return of(use.ru_utime) + of(use.ru_stime);
}

struct Conversion {
  double seconds = 0;
  double cpu_seconds = 0;
  uint64_t peak_rss_bytes = 0;
  uint64_t read_bytes = 0, written_bytes = 0;  // through system calls
  nlohmann::json done;                         // the program's own figures
};

// The kernel's counters of a process that has ended but is not yet reaped.
void read_io_counters(pid_t pid, Conversion& run) {
  std::ifstream io("/proc/" + std::to_string(pid) + "/io");
  for (std::string key; io >> key;) {
    uint64_t value = 0;
    io >> value;
    if (key == "rchar:") run.read_bytes = value;
    if (key == "wchar:") run.written_bytes = value;
  }
}

// Runs the program and follows its events; its progress on stderr passes through.
Conversion run_program(const std::vector<std::string>& command) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  const auto start = Clock::now();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    ::execv(words[0], words.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[1 << 16];
  for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  ::close(ends[0]);

  Conversion run;
  siginfo_t info;
  ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  read_io_counters(pid, run);
  int status = 0;
  rusage use{};
  ::wait4(pid, &status, 0, &use);
  run.seconds = seconds_since(start);
  run.cpu_seconds = cpu_seconds(use);
  run.peak_rss_bytes = static_cast<uint64_t>(use.ru_maxrss) * 1024;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw std::runtime_error(command[0] + " failed with wait status " + std::to_string(status) + "\n" + text);
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json event = nlohmann::json::parse(line);
    if (event.at("event") == "done") run.done = std::move(event);
  }
  if (run.done.is_null()) throw std::runtime_error("the conversion ended without a done event:\n" + text);
  return run;
}

// CPU seconds of reading and hashing all shards on one core; the pages are dropped again.
double hash_source(const fs::path& folder) {
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  std::vector<std::byte> buffer(4 << 20);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw std::runtime_error(entry.path().string() + ": cannot be read");
    ggufmill::Sha256Stream hash;
    for (ssize_t got; (got = ::read(fd, buffer.data(), buffer.size())) > 0;) {
      hash.update({buffer.data(), static_cast<size_t>(got)});
    }
    hash.finish();
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
  ::getrusage(RUSAGE_SELF, &after);
  return cpu_seconds(after) - cpu_seconds(before);
}

uint64_t gguf_bytes(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") bytes += entry.file_size();
  }
  return bytes;
}

// CPU that is not the encoders', over theirs, in per cent.
double beyond_encoders(const Conversion& run) {
  const double encode = run.done.at("encode_cpu_seconds").get<double>();
  return 100 * (run.cpu_seconds - encode) / encode;
}

void print(const ggufmill::WrittenCheckpoint& source, const Conversion& run, const Conversion& without_hash, double hash_cpu,
           uint64_t output, uint64_t ceiling) {
  const double billions = static_cast<double>(source.weights) / 1e9, mib = 1024.0 * 1024.0;
  const auto gb = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e9; };
  const double encode = run.done.at("encode_cpu_seconds").get<double>();
  std::printf("source            %.2f GB, %.3f billion weights, %llu tensors in %llu shards\n", gb(source.bytes), billions,
              static_cast<unsigned long long>(source.tensors), static_cast<unsigned long long>(source.shards));
  std::printf("output            %.2f GB, %.2f bits a weight\n", gb(output), 8 * gb(output) / billions);
  std::printf("wall              %.1f s, %.2f s per billion weights\n", run.seconds, run.seconds / billions);
  std::printf("CPU               %.1f s, %.2f s per billion weights\n", run.cpu_seconds, run.cpu_seconds / billions);
  std::printf("not encoding      %.1f %% of CPU (%.2f s per billion weights)\n", 100 * (1 - encode / run.cpu_seconds),
              (run.cpu_seconds - encode) / billions);
  std::printf("beyond encoders   %.1f %% of the encoders' CPU; %.1f %% without source hashes\n", beyond_encoders(run),
              beyond_encoders(without_hash));
  std::printf("a model of 550 billion weights at this rate: %.1f core-hours\n", run.cpu_seconds / billions * 550 / 3600);
  std::printf(
      "reference         %.1f s CPU to read and hash the source on one core; the conversion takes %.1f times that,\n"
      "                  its part that is not encoding %.2f times\n",
      hash_cpu, run.cpu_seconds / hash_cpu, (run.cpu_seconds - encode) / hash_cpu);
  std::printf("peak resident     %.0f MiB (ceiling %.0f + 200 MiB)\n", static_cast<double>(run.peak_rss_bytes) / mib,
              static_cast<double>(ceiling) / mib);
  std::printf("read              %.2f GB (%.2f of the source, %.2f with the output's read-back for hashing)\n",
              gb(run.read_bytes), gb(run.read_bytes) / gb(source.bytes), gb(run.read_bytes) / gb(source.bytes + output));
  std::printf("written           %.2f GB (%.2f of the output)\n", gb(run.written_bytes), gb(run.written_bytes) / gb(output));
  std::printf("its own figures   %s\n", run.done.dump().c_str());
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Form {
  const char* name;
  bool nvfp4;
  fs::path source;
  ggufmill::WrittenCheckpoint written;
  std::vector<double> cpu, encode;  // seconds per billion weights, by round
};

void compare_with_nvfp4(ggufmill::RandomCheckpoint shape, const std::string& folder, std::vector<std::string> command,
                        const std::string& type, int rounds) {
  Form forms[] = {{"BF16", false, {}, {}, {}, {}}, {"NVFP4", true, {}, {}, {}, {}}};
  for (Form& form : forms) {
    form.source = fs::path(folder) / form.name;
    shape.nvfp4 = form.nvfp4;
    form.written = ggufmill::write_random_checkpoint(shape, GGUFMILL_BENCH_CONFIG, GGUFMILL_BENCH_TOKENIZER, form.source);
  }
  command.insert(command.end(), {"-t", "exps=" + type, "--force"});
  for (int round = 0; round < rounds; ++round) {
    for (Form& form : forms) {
      command[2] = form.source;
      const Conversion run = run_program(command);
      const double billions = static_cast<double>(form.written.weights) / 1e9;
      form.cpu.push_back(run.cpu_seconds / billions);
      form.encode.push_back(run.done.at("encode_cpu_seconds").get<double>() / billions);
    }
  }
  std::printf("experts to %s, %.3f billion weights, medians of %d rounds in turns:\n", type.c_str(),
              static_cast<double>(forms[0].written.weights) / 1e9, rounds);
  std::printf("%-6s %10s %22s %22s\n", "source", "GB", "CPU s / billion", "encoders s / billion");
  for (const Form& form : forms) {
    std::printf("%-6s %10.2f %22.2f %22.2f\n", form.name, static_cast<double>(form.written.bytes) / 1e9, median(form.cpu),
                median(form.encode));
  }
  std::printf("NVFP4 / BF16: %.3f of the CPU\n", median(forms[1].cpu) / median(forms[0].cpu));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Converts one MoE layer with true shapes and prints what it costs.");
  ggufmill::RandomCheckpoint shape;
  std::string program, folder, recipe;
  uint64_t memory_mib = 512;
  int threads = 0, rounds = 5;
  bool against_nvfp4 = false;
  std::string type = "IQ3_S";
  app.add_option("--mill", program, "the program to measure")->required();
  app.add_option("--folder", folder, "where the data goes; a new folder, deleted afterwards")->required();
  app.add_option("--experts", shape.experts, "experts of the layer; 512 is the whole layer, 21.5 GB")->capture_default_str();
  app.add_option("--recipe", recipe, "passed on (the default recipe)");
  app.add_option("--memory-mib", memory_mib, "passed on as --memory")->capture_default_str();
  app.add_option("--threads", threads, "passed on as -j (all cores)");
  app.add_flag("--against-nvfp4", against_nvfp4, "compare the conversion from BF16 with that from NVFP4");
  app.add_option("--type", type, "of the experts then")->capture_default_str();
  app.add_option("--rounds", rounds, "conversions of each then")->capture_default_str()->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (fs::exists(folder)) {
    std::cerr << "scale: " << folder << ": exists already; it would be deleted afterwards\n";
    return 1;
  }

  int exit_code = 0;
  try {
    const fs::path source = fs::path(folder) / "one-moe-layer";
    fs::create_directories(fs::path(folder) / "out");
    std::vector<std::string> command = {
        program, "convert", source, "-o", folder + "/out/layer.gguf", "--json", "--memory", std::to_string(memory_mib) + "MiB"};
    if (!recipe.empty()) command.insert(command.end(), {"--recipe", recipe});
    if (threads > 0) command.insert(command.end(), {"-j", std::to_string(threads)});
    if (against_nvfp4) {
      compare_with_nvfp4(shape, folder, command, type, rounds);
      fs::remove_all(folder);
      return 0;
    }
    std::cout << "generating " << shape.experts << " experts in " << source.string() << "\n" << std::flush;
    const auto written = ggufmill::write_random_checkpoint(shape, GGUFMILL_BENCH_CONFIG, GGUFMILL_BENCH_TOKENIZER, source);
    const double hash_cpu = hash_source(source);
    const Conversion run = run_program(command);
    command.insert(command.end(), {"--no-source-hash", "--force"});
    const Conversion without_hash = run_program(command);
    const uint64_t ceiling = memory_mib << 20;
    print(written, run, without_hash, hash_cpu, gguf_bytes(fs::path(folder) / "out"), ceiling);
    if (run.peak_rss_bytes > ceiling + (200u << 20)) {
      std::cerr << "scale: peak resident memory is above the ceiling + 200 MiB\n";
      exit_code = 1;
    }
  } catch (const std::exception& error) {
    std::cerr << "scale: " << error.what() << "\n";
    exit_code = 1;
  }
  fs::remove_all(folder);
  return exit_code;
}
