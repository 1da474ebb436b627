#include "torch_errors.h"

#include <c10/util/Exception.h>
#include <torch/torch.h>

namespace fatwood::cli {

std::string without_backtrace(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error))
    return torch_error->what_without_backtrace();
  return error.what();
}

}  // namespace fatwood::cli
