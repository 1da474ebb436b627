#include "faults.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <sstream>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace faults {
namespace {

// The return addresses of the program's own innermost frames, which tell one call of a sync from
// another; relative to the program's start, as `nm` lists them.
std::string call_site() {
  constexpr int kKept = 6;
  Dl_info program{};
  ::dladdr(reinterpret_cast<void*>(::getauxval(AT_ENTRY)), &program);
  std::array<void*, 32> frames{};
  const int count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
  std::ostringstream site;
  int kept = 0;
  for (int i = 0; i < count && kept < kKept; ++i) {
    Dl_info info{};
    void* const frame = frames[static_cast<std::size_t>(i)];
    if (::dladdr(frame, &info) == 0 || info.dli_fbase != program.dli_fbase) continue;
    site << (kept++ == 0 ? "" : " ") << std::hex
         << static_cast<char*>(frame) - static_cast<char*>(info.dli_fbase);
  }
  return site.str();
}

std::string taken_from_environment(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value ? value : "";
  ::unsetenv(name);
  return text;
}

}  // namespace

// The library's own work goes to the kernel directly: the C library's functions are its own.

void send(int signal) {
  ::syscall(SYS_kill, ::syscall(SYS_getpid), signal);
}

void die() {
  send(SIGKILL);
  std::abort();
}

std::int64_t inode_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? static_cast<std::int64_t>(status.st_ino) : 0;
}

Faults& Faults::instance() {
  static Faults& faults = *new Faults;  // outlives whatever still writes at exit
  return faults;
}

Faults::Faults() : root_(taken_from_environment("FATWOOD_FAULTS_ROOT")) {
  std::istringstream plan(taken_from_environment("FATWOOD_FAULTS_PLAN"));
  for (std::string text; plan >> text;) {
    std::replace(text.begin(), text.end(), ':', ' ');
    std::istringstream fields(text);
    Rule rule;
    fields >> rule.kind >> rule.op >> rule.first >> rule.last >> rule.value;
    if (!fields) std::abort();
    rules_.push_back(rule);
  }
  const std::string journal = taken_from_environment("FATWOOD_FAULTS_JOURNAL");
  if (!journal.empty()) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    journal_ = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, journal.c_str(), kFlags, 0666));
    if (journal_ < 0) std::abort();
  }
  ::unsetenv("LD_PRELOAD");
}

bool Faults::watches(std::string_view path) const {
  return !root_.empty() && path.starts_with(root_) &&
         (path.size() == root_.size() || path[root_.size()] == '/');
}

void Faults::said(const void* data, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  record({.op = "said", .data = data, .bytes = bytes});
}

std::optional<Rule> Faults::count(std::string_view op) {
  const long number = ++counts_[std::string(op)];
  const bool changes = op != "open" && op != "read" && op != "close";
  const long change = changes ? ++counts_["any"] : 0;
  for (const Rule& rule : rules_) {
    const long n = rule.op == op ? number : rule.op == "any" ? change : 0;
    if (n > 0 && n >= rule.first && n <= rule.last) return rule;
  }
  return {};
}

void Faults::record(const Call& call) {
  if (journal_ < 0) return;
  const bool carries = call.op == "write" || call.op == "said";
  std::ostringstream line;
  line << call.op << '\t' << call.inode << '\t' << call.offset << '\t' << (carries ? call.bytes : 0)
       << '\t' << call.path << '\t' << call.path2 << '\t'
       << (call.op.starts_with("sync") ? call_site() : "") << '\n';
  std::string text = line.str();
  if (carries) text.append(static_cast<const char*>(call.data), call.bytes);
  const long done = ::syscall(SYS_write, journal_, text.data(), text.size());
  if (done != static_cast<long>(text.size())) std::abort();
}

}  // namespace faults
