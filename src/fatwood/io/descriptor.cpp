#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/io/descriptor.h>

namespace fatwood {
namespace {

// Linux transfers at most 0x7ffff000 bytes a call; smaller pieces keep interruptions cheap.
constexpr std::size_t kLargestTransfer = std::size_t{1} << 30;

template <typename Call>
auto retried(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace

void throw_io_error(std::string_view operation, const std::filesystem::path& path,
                    std::string_view call, int code) {
  throw Error(
      ErrorKind::io, operation,
      path.string() + ": " + std::string(call) + ": " + std::generic_category().message(code));
}

Descriptor::Descriptor(std::string_view operation, std::filesystem::path path, int flags)
    : operation_(operation), path_(std::move(path)) {
  fd_ = retried([&] { return ::open(path_.c_str(), flags | O_CLOEXEC, 0666); });
  if (fd_ == -1) fail("open");
}

Descriptor::Descriptor(Descriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      operation_(other.operation_),
      path_(std::move(other.path_)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(operation_, other.operation_);
  std::swap(path_, other.path_);
  return *this;
}

Descriptor::~Descriptor() {
  if (is_open()) ::close(fd_);
}

std::uint64_t Descriptor::regular_file_size() const {
  struct stat status {};
  if (::fstat(fd_, &status) == -1) fail("fstat");
  if (S_ISDIR(status.st_mode)) {
    throw Error(ErrorKind::io, operation_, path_.string() + ": a folder, wanted a file");
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::io, operation_, path_.string() + ": not a regular file");
  }
  return static_cast<std::uint64_t>(status.st_size);
}

std::size_t Descriptor::read(std::span<std::uint8_t> buffer) const {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const std::size_t wanted = std::min(buffer.size() - done, kLargestTransfer);
    const ssize_t got = retried([&] { return ::read(fd_, buffer.data() + done, wanted); });
    if (got == -1) fail("read");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void Descriptor::write(ByteView bytes) const {
  while (!bytes.empty()) {
    const std::size_t wanted = std::min(bytes.size(), kLargestTransfer);
    const ssize_t done = retried([&] { return ::write(fd_, bytes.data(), wanted); });
    if (done == -1) fail("write");
    if (done == 0) throw_io_error(operation_, path_, "write", ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

void Descriptor::sync() const {
  if (retried([&] { return ::fsync(fd_); }) == -1) fail("fsync");
}

void Descriptor::truncate(std::uint64_t length) const {
  if (retried([&] { return ::ftruncate(fd_, static_cast<off_t>(length)); }) == -1) {
    fail("ftruncate");
  }
}

void Descriptor::seek(std::uint64_t offset) const {
  if (::lseek(fd_, static_cast<off_t>(offset), SEEK_SET) == -1) fail("lseek");
}

void Descriptor::close() {
  // After EINTR the descriptor is gone on Linux: closing again could close someone else's.
  if (::close(std::exchange(fd_, -1)) == -1 && errno != EINTR) fail("close");
}

void Descriptor::fail(std::string_view call) const {
  throw_io_error(operation_, path_, call, errno);
}

}  // namespace fatwood
