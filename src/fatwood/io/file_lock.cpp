#include <array>
#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <unistd.h>

#include <fatwood/core/error.h>
#include <fatwood/io/file_lock.h>

namespace fatwood {
namespace {

// The process number that the holder wrote, or "".
std::string holder_of(const Descriptor& file) {
  std::array<std::uint8_t, 20> buffer{};
  std::string text(as_text(ByteView(buffer.data(), file.read(buffer))));
  return text.substr(0, text.find_first_not_of("0123456789"));
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path, Wait wait)
    : file_("lock_file", path, O_RDWR | O_CREAT) {
  int result = 0;
  do {
    result = ::flock(file_.get(), wait == Wait::yes ? LOCK_EX : LOCK_EX | LOCK_NB);
  } while (result == -1 && errno == EINTR);
  if (result == -1 && errno == EWOULDBLOCK) {
    const std::string holder = holder_of(file_);
    throw Error(ErrorKind::io, "lock_file",
                path.string() + ": in use by " +
                    (holder.empty() ? "another process" : "process " + holder));
  }
  if (result == -1) throw_io_error("lock_file", path, "flock", errno);
  try {
    file_.truncate(0);
    file_.write(as_bytes(std::to_string(::getpid()) + '\n'));
  } catch (const Error&) {
    ::unlink(path.c_str());  // while nobody else can hold it
    throw;
  }
}

}  // namespace fatwood
