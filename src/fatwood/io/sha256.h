// SHA-256 (FIPS 180-4): digests of checkpoints and of downloaded data sets.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// The digest of bytes that come in pieces.
class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  void update(ByteView bytes);
  /// The digest of everything so far; update() must not follow.
  Digest finish();

 private:
  void compress(const std::uint8_t* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block_{};
  std::uint64_t length_ = 0;  // bytes so far
};

/// 64 lower-case hexadecimal digits.
std::string to_hex(const Sha256::Digest& digest);

/// The digest of `bytes` as 64 hexadecimal digits.
std::string sha256_hex(ByteView bytes);

}  // namespace fatwood
