#include <fcntl.h>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/io/append_file.h>
#include <fatwood/io/file.h>

namespace fatwood {
namespace {

// Bytes of lines kept in memory where nobody asks for durability.
constexpr std::size_t kMostUnsynced = std::size_t{16} << 20;

}  // namespace

AppendFile::AppendFile(std::filesystem::path path)
    : file_("append_file", std::move(path), O_WRONLY | O_CREAT | O_APPEND) {
  length_ = file_.regular_file_size();
  const std::filesystem::path folder = file_.path().parent_path();
  sync_folder(folder.empty() ? "." : folder);
}

std::uint64_t AppendFile::length() const {
  const std::lock_guard lock(mutex_);
  return length_;
}

void AppendFile::append_line(std::string_view line) {
  if (line.find('\n') != std::string_view::npos) {
    throw Error(ErrorKind::internal, "append_file",
                file_.path().string() + ": a line with a newline in it: " + printable(line));
  }
  {
    const std::lock_guard lock(mutex_);
    take_back();
    const std::size_t before = unsynced_.size();
    unsynced_.reserve(before + line.size() + 1);  // before anything changes
    unsynced_.append(line) += '\n';
    const std::string_view added = std::string_view(unsynced_).substr(before);
    try {
      file_.write(as_bytes(added));
    } catch (...) {
      unsynced_.resize(before);
      torn_ = true;
      try {
        take_back();
      } catch (const Error&) {
        // The failed write is what the caller needs to hear of; readers pass over half a line.
      }
      throw;
    }
    length_ += added.size();
    if (unsynced_.size() / kMostUnsynced == before / kMostUnsynced) return;
  }
  try {
    sync();
  } catch (const Error&) {
    // The next sync() that someone asks for tries again.
  }
}

// Cuts off what a failed write left of a line, if that has not been done.
void AppendFile::take_back() {
  if (!torn_) return;
  file_.truncate(length_);
  torn_ = false;
}

void AppendFile::sync() {
  const std::lock_guard one_at_a_time(sync_mutex_);
  std::unique_lock lock(mutex_);
  take_back();
  if (sync_failed_) write_again();
  const std::size_t covered = unsynced_.size();
  lock.unlock();  // a disk takes its time, and lines go on coming
  try {
    file_.sync();
  } catch (...) {
    lock.lock();
    sync_failed_ = true;
    throw;
  }
  lock.lock();
  unsynced_.erase(0, covered);
  sync_failed_ = false;
}

// The same bytes in the same place: the file is whole at every instant, and its pages are dirty
// again.
void AppendFile::write_again() const {
  const Descriptor file("append_file", file_.path(), O_WRONLY);
  file.seek(length_ - unsynced_.size());
  file.write(as_bytes(unsynced_));
}

void AppendFile::truncate_to(std::uint64_t length) {
  const std::scoped_lock lock(sync_mutex_, mutex_);
  if (length > length_) {
    throw Error(ErrorKind::data, "append_file",
                file_.path().string() + ": " + counted(length_, "byte") + ", wanted at least " +
                    std::to_string(length));
  }
  file_.truncate(length);
  torn_ = false;
  const std::uint64_t durable = length_ - unsynced_.size();
  unsynced_.resize(length > durable ? length - durable : 0);
  length_ = length;
  if (sync_failed_) write_again();
  sync_failed_ = true;
  file_.sync();
  unsynced_.clear();
  sync_failed_ = false;
}

}  // namespace fatwood
