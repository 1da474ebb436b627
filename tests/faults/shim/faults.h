// LD_PRELOAD library: the file system's calls under one folder, numbered, written to a journal, and
// made to fail or to be the process's last as a plan says. Calls elsewhere pass through untouched.
// disk.py rebuilds from the journal what a power cut may leave. The environment steers it:
//
//   FATWOOD_FAULTS_ROOT     the folder, without symbolic links in its path
//   FATWOOD_FAULTS_JOURNAL  file outside of the folder, a record a call; may be missing
//   FATWOOD_FAULTS_PLAN     rules KIND:OP:FIRST:LAST:VALUE, separated by blanks, for the calls of
//                           OP numbered FIRST to LAST, counted from 1:
//     fail        nothing is done, and the call returns the errno VALUE
//     shorten     a write or read of more than VALUE bytes does only VALUE
//     kill        SIGKILL in place of the call
//     kill_after  SIGKILL when the call is done
//     tear        a write does half, then SIGKILL; any other call: as kill
//     signal      the process gets the signal VALUE, then the call is done
//   OP is create, open (of what exists), read, write, close (of what was written), truncate, sync,
//   sync_folder, rename, unlink, mkdir, rmdir; `any` numbers all that change something in one row.
//
// A record is a line "op ino offset bytes path path2 call_site" between tabs, then `bytes` bytes.
// What the process writes to its standard output is journaled as `said`, a rule that acted as
// `fault` with the call's path and, as path2, its OP.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace faults {

struct Rule {
  std::string kind;
  std::string op;
  long first = 0;
  long last = 0;
  long value = 0;
};

struct Call {
  std::string_view op;
  std::string path = {};
  std::string path2 = {};
  std::int64_t inode = 0;
  const void* data = nullptr;
  std::size_t bytes = 0;
  std::int64_t offset = 0;
};

[[noreturn]] void die();
void send(int signal);  // to this process
std::int64_t inode_of(int fd);

class Faults {
 public:
  /// Made from the environment, which it clears, so that programs started from here run untouched.
  static Faults& instance();

  bool watches(std::string_view path) const;

  /// Does `call` by real(bytes), unless a rule says otherwise.
  template <typename Real>
  long perform(Call call, Real real);

  void said(const void* data, std::size_t bytes);

 private:
  Faults();
  std::optional<Rule> count(std::string_view op);
  void record(const Call& call);

  std::string root_;
  std::vector<Rule> rules_;
  int journal_ = -1;
  std::mutex mutex_;
  std::map<std::string, long> counts_;
};

template <typename Real>
long Faults::perform(Call call, Real real) {
  const std::lock_guard lock(mutex_);
  const std::optional<Rule> rule = count(call.op);
  const bool writes = call.op == "write";
  if (rule) {
    record({.op = "fault", .path = call.path, .path2 = std::string(call.op)});
    if (rule->kind == "signal") send(static_cast<int>(rule->value));
    if (rule->kind == "fail") {
      errno = static_cast<int>(rule->value);
      return -1;
    }
    if (rule->kind == "kill" || (rule->kind == "tear" && !writes)) die();
    if (rule->kind == "tear") call.bytes /= 2;
    if (rule->kind == "shorten" && (writes || call.op == "read")) {
      call.bytes = std::min(call.bytes, static_cast<std::size_t>(rule->value));
    }
  }
  const long result = real(call.bytes);
  const int error = errno;
  if (result >= 0 && call.op != "read" && call.op != "open" && call.op != "close") {
    if (writes) call.bytes = static_cast<std::size_t>(result);
    if (call.op == "create") call.inode = inode_of(static_cast<int>(result));
    record(call);
  }
  if (rule && (rule->kind == "tear" || rule->kind == "kill_after")) die();
  errno = error;
  return result;
}

}  // namespace faults
