// An open file descriptor and the system calls on it, with interruptions retried, short writes
// continued and every failure an Error{io} that names the path, the call and the reason. The floor
// under file.h, append_file.h and file_lock.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// Throws Error{io} "[operation] path: call: reason" with the reason for `code`, an errno value.
[[noreturn]] void throw_io_error(std::string_view operation, const std::filesystem::path& path,
                                 std::string_view call, int code);

/// Owns one descriptor. Every method throws Error{io} when its system call fails.
class Descriptor {
 public:
  Descriptor() = default;
  /// open(2) with O_CLOEXEC added. New files get the permissions that the umask leaves of 0666.
  Descriptor(std::string_view operation, std::filesystem::path path, int flags);
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  bool is_open() const noexcept { return fd_ >= 0; }
  int get() const noexcept { return fd_; }
  const std::filesystem::path& path() const noexcept { return path_; }

  /// Size in bytes. Throws Error{io} for anything but a regular file.
  std::uint64_t regular_file_size() const;
  /// Reads into `buffer` until it is full or the file ends; returns the bytes read.
  std::size_t read(std::span<std::uint8_t> buffer) const;
  /// Writes all of `bytes`.
  void write(ByteView bytes) const;
  /// fsync(2). A failure is final: the kernel may have dropped the data, so it is never repeated.
  void sync() const;
  void truncate(std::uint64_t length) const;
  /// Where the next read or write begins, from the start of the file.
  void seek(std::uint64_t offset) const;
  /// close(2), reporting what a delayed write still had to say. The destructor closes silently.
  void close();

 private:
  [[noreturn]] void fail(std::string_view call) const;

  int fd_ = -1;
  std::string_view operation_;  // a literal
  std::filesystem::path path_;
};

}  // namespace fatwood
