// The one exception type. Its kind decides the exit code; only `main` turns it into one.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace fatwood {

/// What went wrong, in the caller's terms. The values are the program's exit codes
/// (docs/errors.md).
enum class ErrorKind {
  internal = 1,  ///< a defect of fatwood
  usage = 2,     ///< an option or an argument that cannot be
  data = 3,      ///< a data set, or a file read, that is not what it should be
  model = 4,     ///< a network that cannot be built, or does not fit its input or its weights
  io = 5,        ///< the file system or the network refused
  diverged = 6,  ///< training produced a number that is not finite
};

/// "usage", "data", …
std::string_view name_of(ErrorKind kind);

/// Message grammar: `[operation] subject: found X, wanted Y`.
///
///     throw Error(ErrorKind::data, "read_idx", path + ": magic 0x00000801, wanted 0x00000803");
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string_view operation, std::string_view message);

  ErrorKind kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

}  // namespace fatwood
