// `--config FILE`: a file of lines `name = value`, the same options as on the command line.
#pragma once

#include <string>
#include <vector>

namespace fatwood::cli {

/// The arguments with the file's options put before the command line's own, so that the latter win.
/// A flag is `name = true` or `name = false`. Throws Error{usage} for a file that cannot be read, a
/// line that is no option, or a section.
std::vector<std::string> with_config_file(std::vector<std::string> arguments);

}  // namespace fatwood::cli
