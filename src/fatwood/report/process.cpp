#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/report/process.h>

extern char** environ;

namespace fatwood {
namespace {

[[noreturn]] void fail(const std::string& program, int error) {
  throw Error(ErrorKind::io, "run_process", program + ": " + std::strerror(error));
}

class End {
 public:
  End() = default;
  explicit End(int fd) : fd_(fd) {}
  End(End&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  End& operator=(End&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~End() { close_now(); }
  int get() const { return fd_; }
  void close_now() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// Both ends close on exec: the child gets its own through the spawn's actions.
struct Channel {
  explicit Channel(const std::string& program) {
    int ends[2];
    // A socket rather than a pipe: sending to a child that is gone must not raise SIGPIPE.
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail(program, errno);
    ours = End(ends[0]);
    theirs = End(ends[1]);
  }
  End ours;
  End theirs;
};

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments, const std::string& input) {
  const std::string& program = arguments.at(0);
  Channel in(program);
  Channel out(program);
  Channel err(program);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.theirs.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.theirs.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.theirs.get(), STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  const int started =
      posix_spawnp(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (started != 0) fail(program, started);
  in.theirs.close_now();
  out.theirs.close_now();
  err.theirs.close_now();

  ProcessResult result;
  std::string_view left = input;
  if (left.empty()) in.ours.close_now();
  std::array<char, 65536> buffer;
  std::array<pollfd, 3> waiting = {pollfd{out.ours.get(), POLLIN, 0},
                                   pollfd{err.ours.get(), POLLIN, 0},
                                   pollfd{left.empty() ? -1 : in.ours.get(), POLLOUT, 0}};
  while (waiting[0].fd >= 0 || waiting[1].fd >= 0) {
    if (poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) break;
    for (int i = 0; i < 2; ++i) {
      pollfd& from = waiting[static_cast<std::size_t>(i)];
      if (from.fd < 0 || from.revents == 0) continue;
      const ssize_t got = read(from.fd, buffer.data(), buffer.size());
      if (got > 0) {
        (i == 0 ? result.output : result.errors)
            .append(buffer.data(), static_cast<std::size_t>(got));
      } else if (got == 0 || errno != EINTR) {
        from.fd = -1;
      }
    }
    if (waiting[2].fd >= 0 && waiting[2].revents != 0) {
      const ssize_t sent =
          send(waiting[2].fd, left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
      const bool gone = sent < 0 && errno != EAGAIN && errno != EINTR;
      if (left.empty() || gone) {
        in.ours.close_now();  // end of file for the child
        waiting[2].fd = -1;
      }
    }
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace fatwood
