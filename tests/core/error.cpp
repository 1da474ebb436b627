#include <gtest/gtest.h>

#include <fatwood/core/error.h>

namespace fatwood {
namespace {

TEST(Error, message_names_the_operation_and_the_kind_is_the_exit_code) {
  const Error error(ErrorKind::data, "read_idx", "a.gz: magic 0x00000801, wanted 0x00000803");
  EXPECT_STREQ(error.what(), "[read_idx] a.gz: magic 0x00000801, wanted 0x00000803");
  EXPECT_EQ(error.exit_code(), 3);
}

TEST(Error, every_kind_has_a_name_and_a_code_of_its_own) {
  const std::pair<ErrorKind, std::string_view> kinds[] = {{ErrorKind::internal, "internal"},
                                                          {ErrorKind::usage, "usage"},
                                                          {ErrorKind::data, "data"},
                                                          {ErrorKind::model, "model"},
                                                          {ErrorKind::io, "io"},
                                                          {ErrorKind::diverged, "diverged"}};
  int code = 1;
  for (const auto& [kind, name] : kinds) {
    EXPECT_EQ(name_of(kind), name);
    EXPECT_EQ(Error(kind, "op", "m").exit_code(), code++);
  }
}

}  // namespace
}  // namespace fatwood
