#include "signals.h"

#include <csignal>
#include <ctime>
#include <unistd.h>

namespace fatwood::cli {
namespace {

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

SignalWatcher::SignalWatcher() {
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::jthread([this, set](const std::stop_token& ended) {
    while (!ended.stop_requested()) {
      const timespec patience{0, 200'000'000};
      const int signal = sigtimedwait(&set, nullptr, &patience);
      if (signal <= 0) continue;
      if (received_ != 0) _exit(128 + signal);
      received_ = signal;
      source_.request_stop();
    }
  });
}

SignalWatcher::~SignalWatcher() {
  thread_.request_stop();
  thread_.join();
  const sigset_t set = watched();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace fatwood::cli
