#include <cstdlib>

#include <gmock/gmock.h>

#include <fatwood/core/error.h>
#include <fatwood/kernels/isa.h>

#include "support.h"

namespace fatwood::kernels {
namespace {

using testing::HasSubstr;

class Environment : public testing::Test {
 protected:
  void SetUp() override { unsetenv("FATWOOD_ISA"); }
  void TearDown() override { unsetenv("FATWOOD_ISA"); }
};

using IsaChoice = Environment;

std::string message_of_choosing(std::string_view name) {
  try {
    choose_isa(name);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "nothing was thrown";
}

TEST_F(IsaChoice, without_a_wish_it_is_the_widest_that_runs_here) {
  EXPECT_EQ(choose_isa(), isas_here().back());
}

TEST_F(IsaChoice, the_argument_wins_over_the_environment) {
  setenv("FATWOOD_ISA", "portable", 1);
  EXPECT_EQ(choose_isa(), Isa::portable);
  for (Isa isa : isas_here()) EXPECT_EQ(choose_isa(name_of(isa)), isa);
}

TEST_F(IsaChoice, an_unknown_name_is_answered_with_the_known_ones) {
  EXPECT_THAT(message_of_choosing("avx1024"),
              HasSubstr("found \"avx1024\", wanted one of portable"));
  setenv("FATWOOD_ISA", "sse", 1);
  EXPECT_THAT(message_of_choosing(""), HasSubstr("FATWOOD_ISA: found \"sse\""));
}

TEST_F(IsaChoice, one_that_the_machine_lacks_is_answered_with_those_that_it_has) {
  for (const IsaInfo& candidate : isas()) {
    if (runs_here(candidate.isa)) continue;
    EXPECT_THAT(message_of_choosing(candidate.name), HasSubstr("which needs"));
  }
}

TEST(ParallelFor, parts_cover_everything_once_and_differ_by_a_grain) {
  for (std::int64_t n : {0, 1, 7, 64, 1000}) {
    for (std::int64_t grain : {1, 16}) {
      std::vector<int> seen(static_cast<std::size_t>(n));
      threads(3).for_each_part(n, grain, [&](int, std::int64_t begin, std::int64_t end) {
        EXPECT_EQ(begin % grain, 0);
        EXPECT_LE(end - begin, (n + 2) / 3 + grain);
        for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
      });
      EXPECT_THAT(seen, testing::Each(1));
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
