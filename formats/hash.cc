// SHA-256 and SHA-1 through OpenSSL's EVP interface, whose implementations are fetched once: a fetch takes locks and compares
// strings, and a conversion makes many short hashes. XXH3-128 is written in its canonical form, most significant byte first.
#include "formats/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <cassert>
#include <cstring>
#include <new>

#include "formats/error.h"

namespace ggufmill {
namespace {

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::byte b : bytes) {
    out += kDigits[std::to_integer<unsigned>(b) >> 4];
    out += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

// Lower-case digits only: the hub, git and sha256sum write those, and one spelling makes equality of texts equality of hashes.
bool parse_hex(std::string_view hex, std::span<std::byte> out) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (hex.size() != 2 * out.size()) return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = digit(hex[2 * i]);
    const int low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::byte>(high * 16 + low);
  }
  return true;
}

void require(int evp_result, const char* step) {
  if (evp_result != 1) throw Error(Exit::kInternal, std::string("OpenSSL: ") + step + " failed");
}

// Kept for the life of the process.
const EVP_MD* fetch(const char* algorithm) {
  const EVP_MD* const digest = EVP_MD_fetch(nullptr, algorithm, nullptr);
  if (digest == nullptr) throw Error(Exit::kInternal, std::string("OpenSSL: no ") + algorithm + " in the default provider");
  return digest;
}

const EVP_MD* sha256_digest() {
  static const EVP_MD* const digest = fetch("SHA256");
  return digest;
}

const EVP_MD* sha1_digest() {
  static const EVP_MD* const digest = fetch("SHA1");
  return digest;
}

// One running EVP hash.
class Digest {
 public:
  explicit Digest(const EVP_MD* digest) : context_(EVP_MD_CTX_new()) {
    if (!context_) throw std::bad_alloc();
    require(EVP_DigestInit_ex2(context_.get(), digest, nullptr), "EVP_DigestInit_ex2");
  }

  void update(std::span<const std::byte> data) {
    require(EVP_DigestUpdate(context_.get(), data.data(), data.size()), "EVP_DigestUpdate");
  }

  // `out` has the digest's size. Once.
  void finish(std::span<std::byte> out) {
    unsigned written = 0;
    require(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(out.data()), &written), "EVP_DigestFinal_ex");
    assert(written == out.size() && "the caller's buffer has the size of the digest");
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

Xxh128 canonical(XXH128_hash_t hash) {
  XXH128_canonical_t big_endian;
  XXH128_canonicalFromHash(&big_endian, hash);
  Xxh128 out;
  static_assert(sizeof big_endian.digest == sizeof out.bytes);
  std::memcpy(out.bytes.data(), big_endian.digest, sizeof big_endian.digest);
  return out;
}

}  // namespace

std::string Sha256::hex() const { return to_hex(bytes); }

std::optional<Sha256> Sha256::from_hex(std::string_view hex) {
  Sha256 hash;
  return parse_hex(hex, hash.bytes) ? std::optional(hash) : std::nullopt;
}

std::string Xxh128::hex() const { return to_hex(bytes); }

std::optional<Xxh128> Xxh128::from_hex(std::string_view hex) {
  Xxh128 hash;
  return parse_hex(hex, hash.bytes) ? std::optional(hash) : std::nullopt;
}

struct Sha256Stream::State {
  Digest digest{sha256_digest()};
  bool finished = false;
};

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) {}
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;
Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::update(std::span<const std::byte> data) {
  assert(!state_->finished && "update() after finish()");
  state_->digest.update(data);
}

Sha256 Sha256Stream::finish() {
  assert(!state_->finished && "finish() is called once");
  state_->finished = true;
  Sha256 hash;
  state_->digest.finish(hash.bytes);
  return hash;
}

struct Xxh128Stream::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> xxh{XXH3_createState()};  // 64-byte aligned, as XXH3 demands
};

Xxh128Stream::Xxh128Stream() : state_(std::make_unique<State>()) {
  if (!state_->xxh) throw std::bad_alloc();
  reset();
}
Xxh128Stream::Xxh128Stream(Xxh128Stream&&) noexcept = default;
Xxh128Stream& Xxh128Stream::operator=(Xxh128Stream&&) noexcept = default;
Xxh128Stream::~Xxh128Stream() = default;

void Xxh128Stream::reset() { XXH3_128bits_reset(state_->xxh.get()); }

void Xxh128Stream::update(std::span<const std::byte> data) {
  if (!data.empty()) XXH3_128bits_update(state_->xxh.get(), data.data(), data.size());
}

Xxh128 Xxh128Stream::finish() const { return canonical(XXH3_128bits_digest(state_->xxh.get())); }

Sha256 sha256(std::span<const std::byte> data) {
  Digest digest(sha256_digest());
  digest.update(data);
  Sha256 hash;
  digest.finish(hash.bytes);
  return hash;
}

Xxh128 xxh128(std::span<const std::byte> data) { return canonical(XXH3_128bits(data.data(), data.size())); }

std::string git_blob_sha1(std::span<const std::byte> data) {
  const std::string prefix = "blob " + std::to_string(data.size());
  Digest digest(sha1_digest());
  digest.update(std::as_bytes(std::span(prefix.c_str(), prefix.size() + 1)));  // with the closing NUL
  digest.update(data);
  std::array<std::byte, 20> hash;
  digest.finish(hash);
  return to_hex(hash);
}

}  // namespace ggufmill
