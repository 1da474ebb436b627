#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/report/process.h>

namespace fatwood {
namespace {

TEST(Process, passes_input_through_whole_and_takes_no_shell) {
  // More than any pipe holds, both ways at once.
  const std::string input(3 << 20, 'x');
  const ProcessResult result = run_process({"cat"}, input);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.output, input);
  EXPECT_EQ(run_process({"echo", "$HOME; true"}, "").output, "$HOME; true\n");
}

TEST(Process, a_child_that_reads_nothing_does_no_harm) {
  EXPECT_EQ(run_process({"true"}, std::string(3 << 20, 'x')).exit_code, 0);
}

TEST(Process, tells_how_the_child_ended_and_what_it_complained_of) {
  const ProcessResult result = run_process({"sh", "-c", "echo no >&2; exit 7"}, "");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.errors, "no\n");
  EXPECT_EQ(run_process({"sh", "-c", "kill -9 $$"}, "").exit_code, 128 + 9);
}

TEST(Process, a_program_that_is_not_there_is_an_error) {
  EXPECT_THROW(run_process({"/no/such/program"}, ""), Error);
}

}  // namespace
}  // namespace fatwood
