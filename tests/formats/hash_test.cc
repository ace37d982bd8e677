#include "formats/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace ggufmill {
namespace {

// FIPS 180-4's example, and the well-known hash of nothing.
TEST(Sha256, MatchesPublishedVectors) {
  EXPECT_EQ(sha256(as_bytes("abc")).hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256({}).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, StreamEqualsOneCallHoweverTheDataIsCut) {
  std::string data(100'003, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 131 >> 3);
  for (const size_t step : {1u, 63u, 64u, 65u, 40'000u}) {
    Sha256Stream stream;
    for (size_t i = 0; i < data.size(); i += step) stream.update(as_bytes(std::string_view(data).substr(i, step)));
    EXPECT_EQ(stream.finish(), sha256(as_bytes(data))) << step;
  }
}

TEST(Sha256, StreamMayMove) {
  Sha256Stream first;
  first.update(as_bytes("a"));
  Sha256Stream second = std::move(first);
  second.update(as_bytes("bc"));
  EXPECT_EQ(second.finish(), sha256(as_bytes("abc")));
}

TEST(Sha256, ReadsOnlyLowerCaseHexOfTheRightLength) {
  const Sha256 hash = sha256(as_bytes("abc"));
  EXPECT_EQ(Sha256::from_hex(hash.hex()), hash);
  EXPECT_EQ(Sha256::from_hex(hash.hex().substr(1)), std::nullopt);
  EXPECT_EQ(Sha256::from_hex(hash.hex() + "0"), std::nullopt);
  std::string upper = hash.hex();
  upper[1] = 'A';
  EXPECT_EQ(Sha256::from_hex(upper), std::nullopt);
  upper[1] = 'g';
  EXPECT_EQ(Sha256::from_hex(upper), std::nullopt);
  EXPECT_EQ(Sha256::from_hex(""), std::nullopt);
}

// xxHash's own: `echo -n | xxh128sum`, `echo -n abc | xxh128sum`.
TEST(Xxh128, MatchesPublishedVectors) {
  EXPECT_EQ(xxh128({}).hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(xxh128(as_bytes("abc")).hex(), "06b05ab6733a618578af5f94892f3950");
}

TEST(Xxh128, StreamEqualsOneCallAndMayGoOn) {
  std::string data(5000, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7);
  Xxh128Stream stream;
  stream.update({});
  stream.update(as_bytes(std::string_view(data).substr(0, 1234)));
  EXPECT_EQ(stream.finish(), xxh128(as_bytes(std::string_view(data).substr(0, 1234))));
  stream.update(as_bytes(std::string_view(data).substr(1234)));
  EXPECT_EQ(stream.finish(), xxh128(as_bytes(data)));
  stream.reset();
  EXPECT_EQ(stream.finish(), xxh128({}));
}

TEST(Xxh128, HexRoundTrips) {
  const Xxh128 hash = xxh128(as_bytes("abc"));
  EXPECT_EQ(Xxh128::from_hex(hash.hex()), hash);
  EXPECT_EQ(Xxh128::from_hex(hash.hex() + "00"), std::nullopt);
}

// `echo hello | git hash-object --stdin`
TEST(GitBlobSha1, EqualsGit) {
  EXPECT_EQ(git_blob_sha1(as_bytes("hello\n")), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(git_blob_sha1({}), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

}  // namespace
}  // namespace ggufmill
