#include "signals.h"

#include <ctime>
#include <unistd.h>
#include <utility>

namespace fatwood::cli {
namespace {

// Blocked, even a signal that is ignored would come: it is left alone, as `nohup` wants it.
sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction inherited {};
    sigaction(signal, nullptr, &inherited);
    if (inherited.sa_handler != SIG_IGN) sigaddset(&set, signal);
  }
  return set;
}

}  // namespace

SignalThread::SignalThread(Handler handler) : set_(watched()) {
  std::signal(SIGPIPE, SIG_IGN);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  thread_ = std::jthread([set = set_, handler = std::move(handler)](const std::stop_token& ended) {
    while (!ended.stop_requested()) {
      const timespec patience{0, 200'000'000};
      if (const int signal = sigtimedwait(&set, nullptr, &patience); signal > 0) handler(signal);
    }
  });
}

SignalThread::~SignalThread() {
  thread_.request_stop();
  thread_.join();
  pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
}

SignalWatcher::SignalWatcher()
    : thread_([this](int signal) {
        if (received_ != 0) _exit(128 + signal);
        received_ = signal;
        source_.request_stop();
      }) {}

}  // namespace fatwood::cli
