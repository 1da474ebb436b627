#include <fatwood/core/error.h>

namespace fatwood {

std::string_view name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::internal:
      return "internal";
    case ErrorKind::usage:
      return "usage";
    case ErrorKind::data:
      return "data";
    case ErrorKind::model:
      return "model";
    case ErrorKind::io:
      return "io";
    case ErrorKind::diverged:
      return "diverged";
  }
  return "internal";
}

Error::Error(ErrorKind kind, std::string_view operation, std::string_view message)
    : std::runtime_error("[" + std::string(operation) + "] " + std::string(message)), kind_(kind) {}

}  // namespace fatwood
