// Output held against a file that someone looked at: tests/FOLDER/approved/NAME. After a change
// that is wanted, FATWOOD_APPROVE=1 writes the files anew; the difference is then reviewed like
// code.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace fatwood {

/// `source` is the test's __FILE__: its folder holds `approved`.
inline void expect_approved(const std::string& text, const std::string& name, const char* source) {
  const std::filesystem::path file =
      std::filesystem::path(source).parent_path() / "approved" / name;
  if (std::getenv("FATWOOD_APPROVE") != nullptr) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return;
  }
  std::ifstream stream(file, std::ios::binary);
  ASSERT_TRUE(stream) << file << " is missing; FATWOOD_APPROVE=1 writes it";
  std::ostringstream approved;
  approved << stream.rdbuf();
  EXPECT_EQ(text, approved.str()) << file << "; FATWOOD_APPROVE=1 writes it anew";
}

}  // namespace fatwood
