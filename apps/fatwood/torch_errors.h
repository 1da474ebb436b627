// LibTorch's own errors, as a user should see them.
#pragma once

#include <exception>
#include <string>

namespace fatwood::cli {

/// The message without LibTorch's backtrace.
std::string without_backtrace(const std::exception& error);

}  // namespace fatwood::cli
