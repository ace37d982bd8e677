// make_checkpoint OUT: a random checkpoint of any shape (see random_checkpoint.h), for the tests and for trying things at scale.
//   make_checkpoint big --ultra --sparse               the whole of the largest model, 1.1 TB of holes
//   make_checkpoint big --layers "mamba moe attention" --experts 16
#include <CLI/CLI.hpp>
#include <iostream>
#include <sstream>

#include "bench/random_checkpoint.h"

int main(int argc, char** argv) {
  CLI::App app("Writes a checkpoint with random weights.");
  ggufmill::RandomCheckpoint shape;
  std::string out, layers;
  std::string config_from = GGUFMILL_BENCH_CONFIG, tokenizer_from = GGUFMILL_BENCH_TOKENIZER;
  bool ultra = false;
  app.add_option("OUT", out, "folder to write")->required();
  app.add_flag("--ultra", ultra, "all layers, experts and tokens of the largest model, with its MTP block");
  app.add_option("--layers", layers, "layer kinds, separated by spaces");
  app.add_flag("--mtp", shape.mtp, "add a multi-token prediction block");
  app.add_flag("--sparse", shape.sparse, "holes instead of values");
  app.add_flag("--nvfp4", shape.nvfp4, "routed experts NVFP4, shared experts and Mamba's projections FP8");
  app.add_flag("--full-tokenizer", shape.full_tokenizer, "fill the tokenizer up to --vocab");
  app.add_option("--config-from", config_from, "folder whose config.json is fitted");
  app.add_option("--tokenizer-from", tokenizer_from, "folder of the tokenizer files");
  const std::pair<const char*, uint64_t*> sizes[] = {
      {"--hidden", &shape.hidden},
      {"--latent", &shape.latent},
      {"--expert-width", &shape.expert_width},
      {"--shared-width", &shape.shared_width},
      {"--experts", &shape.experts},
      {"--experts-used", &shape.experts_used},
      {"--vocab", &shape.vocab},
      {"--heads", &shape.heads},
      {"--kv-heads", &shape.kv_heads},
      {"--head-dim", &shape.head_dim},
      {"--mamba-heads", &shape.mamba_heads},
      {"--mamba-head-dim", &shape.mamba_head_dim},
      {"--groups", &shape.groups},
      {"--state", &shape.state},
      {"--shard-bytes", &shape.shard_bytes},
      {"--seed", &shape.seed},
  };
  for (const auto& [flag, value] : sizes) app.add_option(flag, *value)->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  if (!layers.empty()) {
    std::istringstream words(layers);
    shape.layers.assign(std::istream_iterator<std::string>(words), {});
  }
  if (ultra) {
    shape.layers = ggufmill::ultra_layers();
    shape.mtp = shape.full_tokenizer = true;
    shape.experts = 512;
    shape.vocab = 131072;
    shape.shard_bytes = 20'000'000'000;
  }
  try {
    const auto written = ggufmill::write_random_checkpoint(shape, config_from, tokenizer_from, out);
    std::cout << written.tensors << " tensors, " << written.shards << " shards, " << written.bytes << " bytes, "
              << written.weights << " weights\n";
  } catch (const std::exception& error) {
    std::cerr << "make_checkpoint: " << error.what() << "\n";
    return 1;
  }
}
