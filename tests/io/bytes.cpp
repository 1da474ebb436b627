#include <gtest/gtest.h>

#include <fatwood/io/bytes.h>

namespace fatwood {
namespace {

TEST(Bytes, names_from_outside_become_one_short_printable_line) {
  EXPECT_EQ(printable("conv.weight"), "\"conv.weight\"");
  EXPECT_EQ(printable("a\n\x1b[31m\"\\"), "\"a\\x0a\\x1b[31m\\x22\\x5c\"");
  EXPECT_EQ(printable(std::string(61, 'a')), "\"" + std::string(60, 'a') + "\"…");
}

TEST(Bytes, counts_agree_with_their_nouns) {
  EXPECT_EQ(counted(0, "byte"), "0 bytes");
  EXPECT_EQ(counted(1, "byte"), "1 byte");
  EXPECT_EQ(counted(2, "byte"), "2 bytes");
}

}  // namespace
}  // namespace fatwood
