#include <gtest/gtest.h>

#include <fatwood/io/base64.h>

namespace fatwood {
namespace {

TEST(Base64, agrees_with_the_vectors_of_rfc_4648) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    const std::vector<std::uint8_t> bytes(plain.begin(), plain.end());
    EXPECT_EQ(base64(bytes), coded);
    EXPECT_EQ(from_base64(coded), bytes);
  }
  EXPECT_FALSE(from_base64("Zg="));
  EXPECT_FALSE(from_base64("Zg=a"));
  EXPECT_FALSE(from_base64("Z g="));
}

}  // namespace
}  // namespace fatwood
