#include <cstdlib>

#include <fatwood/io/cache_folder.h>

namespace fatwood {
namespace {

std::filesystem::path path_in(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

}  // namespace

std::filesystem::path cache_folder() {
  // The XDG specification says to ignore relative paths.
  const std::filesystem::path caches = path_in("XDG_CACHE_HOME");
  if (caches.is_absolute()) return caches / "fatwood";
  const std::filesystem::path home = path_in("HOME");
  return home.is_absolute() ? home / ".cache" / "fatwood" : std::filesystem::path();
}

}  // namespace fatwood
