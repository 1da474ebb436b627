#include <string>

#include <gtest/gtest.h>

#include <fatwood/io/sha256.h>

namespace fatwood {
namespace {

// The examples of FIPS 180-2, appendix B, and the empty message of NIST's test suite.
TEST(Sha256, gives_the_standards_examples) {
  EXPECT_EQ(sha256_hex(as_bytes("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex(as_bytes("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(as_bytes(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, does_not_depend_on_the_pieces_that_the_bytes_come_in) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const std::string message = text.substr(0, length);
    const std::string whole = sha256_hex(as_bytes(message));
    for (const std::size_t piece : {1, 3, 63, 64, 65}) {
      Sha256 sha;
      for (std::size_t at = 0; at < length; at += piece) {
        sha.update(as_bytes(message).subspan(at, std::min(piece, length - at)));
      }
      ASSERT_EQ(to_hex(sha.finish()), whole) << length << " bytes by " << piece;
    }
  }
}

}  // namespace
}  // namespace fatwood
