#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/data/download.h>

extern "C" char** environ;  // NOLINT(readability-redundant-declaration): not in every <unistd.h>

namespace fatwood {
namespace {

constexpr std::size_t kLongestComplaint = 4096;
constexpr int kLookForStopMs = 50;

[[noreturn]] void fail_download(const std::string& url, const std::string& what) {
  throw Error(ErrorKind::io, "download", url + ": " + what);
}

// One end of a pipe.
class PipeEnd {
 public:
  explicit PipeEnd(int fd = -1) : fd_(fd) {}
  PipeEnd(PipeEnd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  PipeEnd& operator=(PipeEnd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;
  ~PipeEnd() { close(); }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void close() {
    if (is_open()) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

struct Pipe {
  PipeEnd out;
  PipeEnd in;
};

Pipe open_pipe(const std::string& url) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) == -1) {
    fail_download(url, "pipe: " + std::generic_category().message(errno));
  }
  return {PipeEnd(ends[0]), PipeEnd(ends[1])};
}

struct Finished {
  int status = 0;  // as from waitpid
  Bytes output;
  std::string complaint;
  bool over_limit = false;
};

// A started program; waited for in any case, so that no process stays behind.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) == -1 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_;
};

// Reads what is there; closes `end` when the other side has closed. `keep` bytes at most are kept.
template <typename Buffer>
void drain(PipeEnd& end, Buffer& buffer, std::size_t keep) {
  std::array<char, 65536> chunk;
  const ssize_t got = ::read(end.get(), chunk.data(), chunk.size());
  if (got == -1 && errno == EINTR) return;
  if (got <= 0) {
    end.close();
    return;
  }
  const auto kept = std::min(static_cast<std::size_t>(got), keep - std::min(keep, buffer.size()));
  buffer.insert(buffer.end(), chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(kept));
}

// nullopt when there is no such program.
std::optional<Finished> run(const std::string& url, const std::vector<std::string>& command,
                            std::uint64_t limit_bytes, const std::stop_token& stop) {
  Pipe output = open_pipe(url);
  Pipe errors = open_pipe(url);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));  // execve's type, not its practice
  }
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.in.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.in.get(), STDERR_FILENO);
  pid_t pid = 0;
  const int spawned =
      ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (spawned == ENOENT) return std::nullopt;
  if (spawned != 0)
    fail_download(url, command[0] + ": " + std::generic_category().message(spawned));

  Child child(pid);
  output.in.close();
  errors.in.close();
  Finished finished;
  const std::size_t keep = limit_bytes + 1;
  while (output.out.is_open() || errors.out.is_open()) {
    if (stop.stop_requested()) throw DownloadStopped();
    std::array<pollfd, 2> waiting = {
        {{output.out.get(), POLLIN, 0}, {errors.out.get(), POLLIN, 0}}};
    const int patience = stop.stop_possible() ? kLookForStopMs : -1;
    if (::poll(waiting.data(), waiting.size(), patience) == -1) {
      if (errno == EINTR) continue;
      fail_download(url, "poll: " + std::generic_category().message(errno));
    }
    if (waiting[0].revents != 0) drain(output.out, finished.output, keep);
    if (waiting[1].revents != 0) drain(errors.out, finished.complaint, kLongestComplaint);
    if (finished.output.size() > limit_bytes) {
      finished.over_limit = true;
      return finished;
    }
  }
  finished.status = child.wait();
  return finished;
}

// The last line that says something: curl and wget put the reason there.
std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text.substr(text.find_last_of('\n') + 1);
}

std::string outcome(const std::string& program, const Finished& finished) {
  const std::string how =
      WIFSIGNALED(finished.status)
          ? program + " was ended by signal " + std::to_string(WTERMSIG(finished.status))
          : program + " failed with exit code " + std::to_string(WEXITSTATUS(finished.status));
  const std::string said = last_line(finished.complaint);
  return said.empty() ? how : how + ": " + said;
}

}  // namespace

Bytes download(const std::string& url, std::uint64_t limit_bytes, const std::stop_token& stop) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    fail_download(url, "wanted an address that begins with http:// or https://");
  }
  const std::vector<std::string> commands[] = {
      {"curl", "--fail", "--location", "--silent", "--show-error", "--proto", "=http,https",
       "--connect-timeout", "20", "--speed-limit", "1000", "--speed-time", "30", url},
      {"wget", "--no-verbose", "--timeout=30", "--tries=2", "--output-document=-", url},
  };
  for (const std::vector<std::string>& command : commands) {
    std::optional<Finished> finished = run(url, command, limit_bytes, stop);
    if (!finished) continue;
    if (finished->over_limit) {
      throw Error(ErrorKind::data, "download",
                  url + ": more than " + counted(limit_bytes, "byte") + " came");
    }
    if (finished->status != 0) fail_download(url, outcome(command[0], *finished));
    return std::move(finished->output);
  }
  fail_download(url, "neither curl nor wget is installed");
}

std::string download_command(const std::string& url, const std::filesystem::path& path) {
  return "curl -fL --create-dirs -o '" + path.string() + "' '" + url + "'";
}

}  // namespace fatwood
