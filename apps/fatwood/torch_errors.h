// LibTorch's own errors, as a user should see them.
#pragma once

#include <exception>
#include <string>

namespace fatwood::cli {

/// The message without LibTorch's backtrace.
std::string without_backtrace(const std::exception& error);

/// Whether LibTorch, or the system for a thread of its own, had no memory left.
bool is_out_of_memory(const std::exception& error);

}  // namespace fatwood::cli
