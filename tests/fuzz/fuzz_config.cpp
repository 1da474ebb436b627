// libFuzzer target: the file of options behind `--config`. Whatever it holds becomes arguments that
// start with two dashes, or one error of usage.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <fatwood/core/error.h>

#include "config_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    for (const std::string& argument : fatwood::cli::arguments_of_config(text, "options.toml"))
      if (!argument.starts_with("--")) std::abort();
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::usage) std::abort();
  }
  return 0;
}
