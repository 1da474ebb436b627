// Runs another program without a shell: what it reads, what it writes, how it ended.
#pragma once

#include <string>
#include <vector>

namespace fatwood {

struct ProcessResult {
  int exit_code = 0;  ///< 128 + signal when one ended it
  std::string output;
  std::string errors;
};

/// Starts `arguments[0]`, looked up in PATH when it has no slash, hands it `input` as standard
/// input and collects what it writes. Throws Error{io} when it cannot be started.
ProcessResult run_process(const std::vector<std::string>& arguments, const std::string& input);

}  // namespace fatwood
