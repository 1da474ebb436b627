#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/core/shown_rows.h>
#include <fatwood/io/descriptor.h>
#include <fatwood/report/watch.h>

namespace fatwood {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr std::uint64_t kMostAtOnce = 64 * kChunk;  // between two looks at signals

// Passes rows on, and remembers whether the last one was the end.
class EndSpotter : public RowSink {
 public:
  EndSpotter(RowSink& sink, bool& ended) : sink_(sink), ended_(ended) {}
  void begin(const RunRow& row) override {
    pass([&] { sink_.begin(row); });
  }
  void batch(const BatchRow& row) override {
    pass([&] { sink_.batch(row); });
  }
  void stats(const StatsRow& row) override {
    pass([&] { sink_.stats(row); });
  }
  void epoch(const EpochRow& row) override {
    pass([&] { sink_.epoch(row); });
  }
  void event(const EventRow& row) override {
    pass([&] { sink_.event(row); });
  }
  void end(const EndRow& row) override {
    ended_ = true;
    sink_.end(row);
  }

 private:
  template <typename Call>
  void pass(const Call& call) {
    ended_ = false;
    call();
  }
  RowSink& sink_;
  bool& ended_;
};

}  // namespace

RowFollower::RowFollower(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder_, error))
    throw Error(ErrorKind::data, "watch", folder_.string() + ": no such folder");
}

std::size_t RowFollower::poll(RowSink& sink) {
  const std::filesystem::path path = folder_ / "rows.jsonl";
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path, error);
  if (error) return 0;  // not yet, or taken away to be written anew
  if (size < offset_) {
    offset_ = 0;
    partial_.clear();
    ended_ = false;
  }
  if (size == offset_) return 0;

  const Descriptor file("watch", path, O_RDONLY);
  if (offset_ > 0 && lseek(file.get(), static_cast<off_t>(offset_), SEEK_SET) < 0)
    throw_io_error("watch", path, "lseek", errno);
  EndSpotter spotter(sink, ended_);
  ShownRows shown_rows(spotter);
  std::vector<std::uint8_t> chunk(kChunk);
  std::size_t rows = 0;
  const std::uint64_t enough = offset_ + kMostAtOnce;
  for (std::size_t got = chunk.size(); got == chunk.size() && offset_ < enough;) {
    got = file.read(chunk);
    offset_ += got;
    partial_.append(reinterpret_cast<const char*>(chunk.data()), got);
    std::size_t begin = 0;
    for (std::size_t newline; (newline = partial_.find('\n', begin)) != std::string::npos;
         begin = newline + 1) {
      try {
        read_json_line(partial_.substr(begin, newline - begin), shown_rows);
        ++rows;
      } catch (const Error&) {
        ++damaged_;
      }
    }
    partial_.erase(0, begin);
    if (partial_.size() > kMaxLineBytes) {
      partial_.clear();
      ++damaged_;
    }
  }
  return rows;
}

std::size_t RowFollower::poll_while_running(RowSink& sink) {
  // Asked first: what a run wrote before it let go of its lock is read below.
  const bool running = is_running();
  const std::size_t rows = poll(sink);
  if (rows == 0 && !running && !ended_) refuse_abandoned();
  return rows;
}

void RowFollower::refuse_abandoned() const {
  std::error_code error;
  const bool is_run = std::filesystem::exists(folder_ / "args.json", error) ||
                      std::filesystem::exists(folder_ / "rows.jsonl", error);
  throw Error(ErrorKind::data, "watch",
              folder_.string() + (is_run ? ": the run was killed: it has no end and no process"
                                         : ": not a run: found neither rows.jsonl nor args.json"));
}

bool RowFollower::is_running() const {
  const std::filesystem::path path = folder_ / "run.lock";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return false;
  const Descriptor file("watch", path, O_RDONLY | O_NONBLOCK);  // a pipe would wait for a writer
  // A shared lock can be had exactly when nobody holds the exclusive one; closing gives it back.
  return flock(file.get(), LOCK_SH | LOCK_NB) != 0;
}

}  // namespace fatwood
