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

SignalThread::SignalThread(Handler handler) : set_(watched()), handler_(std::move(handler)) {
  std::signal(SIGPIPE, SIG_IGN);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  thread_ = std::jthread([this](const std::stop_token& ended) {
    while (!ended.stop_requested()) {
      const timespec patience{0, 200'000'000};
      if (const int signal = sigtimedwait(&set_, nullptr, &patience); signal > 0) handler_(signal);
    }
  });
}

SignalThread::~SignalThread() {
  thread_.request_stop();
  thread_.join();
  // Unblocked, what came meanwhile would end a program that has done its work.
  const timespec none{};
  for (int signal; (signal = sigtimedwait(&set_, nullptr, &none)) > 0;) handler_(signal);
  pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
}

SignalWatcher::SignalWatcher()
    : thread_([this](int signal) {
        if (received_ != 0) _exit(128 + signal);
        received_ = signal;
        source_.request_stop();
      }) {}

}  // namespace fatwood::cli
