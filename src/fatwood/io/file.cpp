#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <random>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/io/file.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;

// Temporary names do not contain the final one, which may be as long as a name can be.
constexpr std::string_view kTemporaryPrefix = ".fatwood-";
constexpr std::string_view kTemporarySuffix = ".tmp";

fs::path temporary_beside(const fs::path& path) {
  // Random, because process numbers repeat between containers that share a folder.
  std::random_device random;
  return path.parent_path() / (std::string(kTemporaryPrefix) + std::to_string(random()) + '-' +
                               std::to_string(random()) + std::string(kTemporarySuffix));
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

template <typename Buffer>
Buffer read_whole(const fs::path& path, std::uint64_t limit_bytes) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer; it is refused below.
  const Descriptor file("read_file", path, O_RDONLY | O_NONBLOCK);
  const std::uint64_t size = file.regular_file_size();
  if (size > limit_bytes) {
    throw Error(ErrorKind::data, "read_file",
                path.string() + ": " + counted(size, "byte") + ", wanted at most " +
                    std::to_string(limit_bytes));
  }
  Buffer buffer;
  buffer.resize(size);
  const std::size_t got =
      file.read({reinterpret_cast<std::uint8_t*>(buffer.data()), buffer.size()});
  buffer.resize(got);
  return buffer;
}

}  // namespace

Bytes read_file(const fs::path& path, std::uint64_t limit_bytes) {
  return read_whole<Bytes>(path, limit_bytes);
}

std::string read_text_file(const fs::path& path, std::uint64_t limit_bytes) {
  return read_whole<std::string>(path, limit_bytes);
}

void write_file(const fs::path& path, ByteView bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file(const fs::path& path, std::string_view text) {
  write_file(path, as_bytes(text));
}

AtomicFile::AtomicFile(fs::path path)
    : path_(std::move(path)),
      temporary_(temporary_beside(path_)),
      file_("write_file", temporary_, O_WRONLY | O_CREAT | O_EXCL) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(ByteView bytes) {
  file_.write(bytes);
}

void AtomicFile::commit() {
  file_.sync();
  file_.close();
  if (::rename(temporary_.c_str(), path_.c_str()) == -1) {
    throw_io_error("write_file", path_, "rename", errno);
  }
  temporary_.clear();
  sync_folder(folder_of(path_));
}

void sync_folder(const fs::path& folder) {
  const Descriptor descriptor("sync_folder", folder, O_RDONLY | O_DIRECTORY);
  int result = ::fsync(descriptor.get());
  while (result == -1 && errno == EINTR) result = ::fsync(descriptor.get());
  if (result == -1 && errno != EINVAL) throw_io_error("sync_folder", folder, "fsync", errno);
}

void create_folders(const fs::path& path) {
  std::error_code error;
  if (path.empty()) return;
  fs::path folder = fs::absolute(path, error).lexically_normal();  // "." has a parent, too
  if (!folder.has_filename()) folder = folder.parent_path();
  const fs::path parent = folder_of(folder);
  if (fs::is_directory(folder, error)) {
    // Whoever made it may have failed to sync its name, or been killed before. A parent that we may
    // not read was not ours to make it in.
    if (::access(parent.c_str(), R_OK) == 0) sync_folder(parent);
    return;
  }
  create_folders(parent);
  if (!fs::create_directory(folder, error) && error) {
    throw_io_error("create_folders", folder, "mkdir", error.value());
  }
  sync_folder(parent);
}

bool is_temporary(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(kTemporaryPrefix) && name.ends_with(kTemporarySuffix);
}

int remove_temporaries(const fs::path& folder) {
  int removed = 0;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (is_temporary(entry.path()) && fs::remove(entry.path(), error)) ++removed;
  }
  return removed;
}

}  // namespace fatwood
