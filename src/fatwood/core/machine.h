// What a record says of where it was made.
#pragma once

#include <string>

namespace fatwood {

struct Machine {
  std::string cpu;   ///< model name, or "unknown"
  int cores = 0;     ///< that this process may use
  std::string date;  ///< now, local time: "2026-11-23T21:06:27+0000"
};

Machine this_machine();

}  // namespace fatwood
