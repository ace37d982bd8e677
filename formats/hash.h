// The two hashes: SHA-256 (OpenSSL EVP) for files, since hub blob names and SHA256SUMS are that, and XXH3-128 for tensors
// and journal records, where speed counts and nobody attacks.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ggufmill {

struct Sha256 {
  std::array<std::byte, 32> bytes{};
  std::string hex() const;
  static std::optional<Sha256> from_hex(std::string_view hex);  // 64 lower-case digits
  bool operator==(const Sha256&) const = default;
};

struct Xxh128 {
  std::array<std::byte, 16> bytes{};  // canonical (big-endian) form
  std::string hex() const;
  static std::optional<Xxh128> from_hex(std::string_view hex);
  bool operator==(const Xxh128&) const = default;
};

class Sha256Stream {
 public:
  Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;
  ~Sha256Stream();
  void update(std::span<const std::byte> data);
  Sha256 finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Xxh128Stream {
 public:
  Xxh128Stream();
  Xxh128Stream(Xxh128Stream&&) noexcept;
  Xxh128Stream& operator=(Xxh128Stream&&) noexcept;
  ~Xxh128Stream();
  void reset();
  void update(std::span<const std::byte> data);
  Xxh128 finish() const;  // of everything so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256 sha256(std::span<const std::byte> data);
Xxh128 xxh128(std::span<const std::byte> data);
// SHA-1 of "blob LENGTH\0" + data as hex: the name git and the hub give small files.
std::string git_blob_sha1(std::span<const std::byte> data);

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

}  // namespace ggufmill
