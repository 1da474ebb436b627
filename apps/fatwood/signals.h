// Ctrl-C and its kin as a stop request: the first asks the run to end after the step in hand, a
// second ends the process at once.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <stop_token>
#include <thread>

namespace fatwood::cli {

/// While one lives, SIGINT, SIGTERM and SIGHUP are waited for on a thread of their own, which hands
/// each to the handler; those that the process was started to ignore (`nohup`) stay ignored. Make
/// it before any other thread starts, since threads inherit what is blocked. From then on SIGPIPE
/// is ignored: a reader of the output that is gone (`| head`, a `tee` that Ctrl-C ended too) ends
/// no run.
class SignalThread {
 public:
  using Handler = std::function<void(int signal)>;
  explicit SignalThread(Handler handler);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  sigset_t set_;
  Handler handler_;
  std::jthread thread_;  // last: it uses the others
};

/// The first signal as a stop request.
class SignalWatcher {
 public:
  SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  /// The signal that came first; 0 for none.
  int received() const { return received_; }

 private:
  std::stop_source source_;
  std::atomic<int> received_ = 0;
  SignalThread thread_;  // last: it uses the others
};

}  // namespace fatwood::cli
