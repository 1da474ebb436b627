// The C library's functions that the shim stands in front of, each turned into a faults::Call.
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include "faults.h"

namespace {

namespace fs = std::filesystem;
using faults::Faults;
using faults::inode_of;

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

std::string path_of(int fd) {
  std::array<char, 4096> target{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  return {target.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

std::string path_of(int folder, const char* path) {
  fs::path whole = path;
  if (whole.is_relative()) {
    whole = (folder == AT_FDCWD ? fs::current_path() : fs::path(path_of(folder))) / whole;
  }
  std::string normal = whole.lexically_normal().string();
  if (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
  return normal;
}

int open_file(int folder, const char* path, int flags, mode_t mode) {
  static const auto real = next<int (*)(int, const char*, int, ...)>("openat");
  Faults& faults = Faults::instance();
  std::string whole = path_of(folder, path);
  if (!faults.watches(whole)) return real(folder, path, flags, mode);
  struct stat status {};
  const bool exists = ::lstat(whole.c_str(), &status) == 0;
  const std::string_view op = exists && (flags & O_TRUNC) != 0    ? "truncate"
                              : !exists && (flags & O_CREAT) != 0 ? "create"
                                                                  : "open";
  return static_cast<int>(faults.perform(
      {.op = op,
       .path = std::move(whole),
       .inode = exists ? static_cast<std::int64_t>(status.st_ino) : 0},
      [&](std::size_t) { return static_cast<long>(real(folder, path, flags, mode)); }));
}

mode_t mode_in(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

FILE* open_stream(const char* name, const char* path, const char* mode) {
  const auto real = next<FILE* (*)(const char*, const char*)>(name);
  // What goes through a stream is written inside the C library, out of this one's sight.
  if (*mode != 'r' && Faults::instance().watches(path_of(AT_FDCWD, path))) std::abort();
  return real(path, mode);
}

template <typename Real>
ssize_t transfer(std::string_view op, int fd, const void* data, std::size_t bytes, off_t offset,
                 Real real) {
  constexpr off_t kWhereItStands = -1;
  Faults& faults = Faults::instance();
  if (op == "write" && fd == STDOUT_FILENO) faults.said(data, bytes);
  std::string path = path_of(fd);
  struct stat status {};
  if (!faults.watches(path) || ::fstat(fd, &status) != 0) return real(bytes);
  if (offset == kWhereItStands) {
    const bool appends = (::fcntl(fd, F_GETFL) & O_APPEND) != 0;
    offset = appends ? status.st_size : ::lseek(fd, 0, SEEK_CUR);
  }
  return faults.perform({.op = op,
                         .path = std::move(path),
                         .inode = static_cast<std::int64_t>(status.st_ino),
                         .data = data,
                         .bytes = bytes,
                         .offset = offset},
                        [&](std::size_t allowed) { return static_cast<long>(real(allowed)); });
}

int sync_file(const char* name, int fd) {
  const auto real = next<int (*)(int)>(name);
  Faults& faults = Faults::instance();
  std::string path = path_of(fd);
  struct stat status {};
  if (!faults.watches(path) || ::fstat(fd, &status) != 0) return real(fd);
  // Not done: the power is cut in the journal alone, and the disk would take most of a test's time.
  return static_cast<int>(faults.perform({.op = S_ISDIR(status.st_mode) ? "sync_folder" : "sync",
                                          .path = std::move(path),
                                          .inode = static_cast<std::int64_t>(status.st_ino)},
                                         [](std::size_t) { return 0L; }));
}

template <typename Real>
int cut(std::string path, std::int64_t inode, off_t length, Real real) {
  Faults& faults = Faults::instance();
  if (!faults.watches(path)) return real();
  return static_cast<int>(
      faults.perform({.op = "truncate", .path = std::move(path), .inode = inode, .offset = length},
                     [&](std::size_t) { return static_cast<long>(real()); }));
}

template <typename Real>
int change_name(std::string_view op, std::string path, std::string path2, Real real) {
  Faults& faults = Faults::instance();
  if (!faults.watches(path) && !faults.watches(path2)) return real();
  return static_cast<int>(
      faults.perform({.op = op, .path = std::move(path), .path2 = std::move(path2)},
                     [&](std::size_t) { return static_cast<long>(real()); }));
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_in(flags, arguments);
  va_end(arguments);
  return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_in(flags, arguments);
  va_end(arguments);
  return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_in(flags, arguments);
  va_end(arguments);
  return open_file(folder, path, flags, mode);
}

FILE* fopen(const char* path, const char* mode) {
  return open_stream("fopen", path, mode);
}
FILE* fopen64(const char* path, const char* mode) {
  return open_stream("fopen64", path, mode);
}

ssize_t write(int fd, const void* data, size_t bytes) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return transfer("write", fd, data, bytes, -1,
                  [&](std::size_t allowed) { return real(fd, data, allowed); });
}

ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return transfer("write", fd, data, bytes, offset,
                  [&](std::size_t allowed) { return real(fd, data, allowed, offset); });
}
ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t offset) {
  return pwrite(fd, data, bytes, offset);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  std::string whole;
  for (int i = 0; i < count; ++i) {
    whole.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  }
  return write(fd, whole.data(), whole.size());
}

ssize_t read(int fd, void* data, size_t bytes) {
  static const auto real = next<ssize_t (*)(int, void*, size_t)>("read");
  return transfer("read", fd, data, bytes, -1,
                  [&](std::size_t allowed) { return real(fd, data, allowed); });
}

int close(int fd) {
  static const auto real = next<int (*)(int)>("close");
  Faults& faults = Faults::instance();
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags == -1 || (flags & O_ACCMODE) == O_RDONLY) return real(fd);
  std::string path = path_of(fd);
  if (!faults.watches(path)) return real(fd);
  bool closed = false;
  const long result = faults.perform({.op = "close", .path = std::move(path)}, [&](std::size_t) {
    closed = true;
    return static_cast<long>(real(fd));
  });
  if (!closed) {  // the descriptor goes in any case
    const int error = errno;
    real(fd);
    errno = error;
  }
  return static_cast<int>(result);
}

int fsync(int fd) {
  return sync_file("fsync", fd);
}
int fdatasync(int fd) {
  return sync_file("fdatasync", fd);
}

int ftruncate(int fd, off_t length) noexcept {
  static const auto real = next<int (*)(int, off_t)>("ftruncate");
  return cut(path_of(fd), inode_of(fd), length, [&] { return real(fd, length); });
}
int ftruncate64(int fd, off64_t length) noexcept {
  return ftruncate(fd, length);
}

int truncate(const char* path, off_t length) noexcept {
  static const auto real = next<int (*)(const char*, off_t)>("truncate");
  struct stat status {};
  const bool exists = ::stat(path, &status) == 0;
  return cut(path_of(AT_FDCWD, path), exists ? static_cast<std::int64_t>(status.st_ino) : 0, length,
             [&] { return real(path, length); });
}
int truncate64(const char* path, off64_t length) noexcept {
  return truncate(path, length);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return change_name("rename", path_of(AT_FDCWD, from), path_of(AT_FDCWD, to),
                     [&] { return real(from, to); });
}

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  static const auto real = next<int (*)(int, const char*, int, const char*)>("renameat");
  return change_name("rename", path_of(from_folder, from), path_of(to_folder, to),
                     [&] { return real(from_folder, from, to_folder, to); });
}

int unlink(const char* path) noexcept {
  static const auto real = next<int (*)(const char*)>("unlink");
  return change_name("unlink", path_of(AT_FDCWD, path), "", [&] { return real(path); });
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto real = next<int (*)(int, const char*, int)>("unlinkat");
  return change_name((flags & AT_REMOVEDIR) != 0 ? "rmdir" : "unlink", path_of(folder, path), "",
                     [&] { return real(folder, path, flags); });
}

int rmdir(const char* path) noexcept {
  static const auto real = next<int (*)(const char*)>("rmdir");
  return change_name("rmdir", path_of(AT_FDCWD, path), "", [&] { return real(path); });
}

int remove(const char* path) noexcept {
  struct stat status {};
  if (::lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) return rmdir(path);
  return unlink(path);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = next<int (*)(const char*, mode_t)>("mkdir");
  return change_name("mkdir", path_of(AT_FDCWD, path), "", [&] { return real(path, mode); });
}

}  // extern "C"
