#include <ctime>
#include <fstream>
#include <thread>

#include <fatwood/core/machine.h>

#ifdef __linux__
#include <sched.h>
#endif

namespace fatwood {

Machine this_machine() {
  Machine machine{
      .cpu = "unknown", .cores = static_cast<int>(std::thread::hardware_concurrency()), .date = ""};
#ifdef __linux__
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      machine.cpu = line.substr(colon + 2);
      break;
    }
  }
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) machine.cores = CPU_COUNT(&allowed);
#endif
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[40];
  if (std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &local) > 0) machine.date = text;
  return machine;
}

}  // namespace fatwood
