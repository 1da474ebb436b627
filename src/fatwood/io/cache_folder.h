// Where fatwood keeps what it can get or make again: downloads, the tuned table.
#pragma once

#include <filesystem>

namespace fatwood {

/// $XDG_CACHE_HOME, else ~/.cache, then fatwood; empty when neither variable holds an absolute
/// path. The folder need not exist.
std::filesystem::path cache_folder();

}  // namespace fatwood
