// `--config FILE`: a file of lines `name = value`, the same options as on the command line.
#pragma once

#include <string>
#include <vector>

namespace fatwood::cli {

/// The FILE of `--config FILE` among the arguments, "" where there is none.
std::string config_file_of(std::vector<std::string> arguments);

/// The arguments that the lines of `text`, the content of `path`, stand for. Throws Error{usage}.
std::vector<std::string> arguments_of_config(const std::string& text, const std::string& path);

/// The arguments with the file's options put before the command line's own, so that the latter win.
/// A flag is `name = true` or `name = false`. Throws Error{usage} for a file that cannot be read, a
/// line that is no option, or a section.
std::vector<std::string> with_config_file(std::vector<std::string> arguments);

}  // namespace fatwood::cli
