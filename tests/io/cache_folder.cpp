#include <cstdlib>

#include <gtest/gtest.h>

#include <fatwood/io/cache_folder.h>

namespace fatwood {
namespace {

TEST(CacheFolder, follows_xdg_then_home_and_ignores_relative_paths) {
  ::setenv("XDG_CACHE_HOME", "/x/cache", 1);
  ::setenv("HOME", "/h", 1);
  EXPECT_EQ(cache_folder(), "/x/cache/fatwood");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(cache_folder(), "/h/.cache/fatwood");
  ::setenv("HOME", "relative", 1);
  EXPECT_EQ(cache_folder(), "");
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(cache_folder(), "");
}

}  // namespace
}  // namespace fatwood
