#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <system_error>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/core/text.h>
#include <fatwood/io/file.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLock = "run.lock";
constexpr std::uint64_t kMaxRowsBytes = std::uint64_t{16} << 30;
constexpr std::uint64_t kMaxRestartsBytes = 64 << 20;
constexpr const char* kArgs = "args.json";
constexpr std::array kFiles{"rows.jsonl",       "summary.csv", "model.safetensors", "summary.json",
                            "predictions.json", "report.html", "restarts.jsonl",    "lr_find.json"};
constexpr const char* kCheckpoints = "checkpoints";
constexpr std::array kFolders{kCheckpoints, "tensorboard"};

bool is_run(const fs::path& path) {
  return fs::exists(path / kArgs) || fs::exists(path / "rows.jsonl");
}

// Beside what a process leaves that is killed while it begins a run.
bool holds_anything(const fs::path& path) {
  return std::any_of(fs::directory_iterator(path), fs::directory_iterator(),
                     [](const fs::directory_entry& entry) {
                       return entry.path().filename() != kLock && !is_temporary(entry.path());
                     });
}

// A row a line: epoch, the training pass's metrics, the evaluation pass's, rate and times.
class SummaryCsv {
 public:
  SummaryCsv(const fs::path& path, const RunRow& run)
      : file_(path), has_eval_(run.eval_batches > 0) {
    for (const MetricInfo& metric : run.metrics) names_.push_back(metric.name);
    // Loss first, as anyone reads it.
    std::stable_partition(names_.begin(), names_.end(),
                          [](const std::string& name) { return name == "loss"; });
    std::string heading = "epoch";
    for (const std::string& name : names_) heading += ",train_" + name;
    for (const std::string& name : names_) heading += ",eval_" + name;
    if (file_.length() == 0) file_.append_line(heading + ",lr,train_s,eval_s,elapsed_s");
  }

  void add(const EpochRow& row) {
    if (row.mode == Mode::training) train_ = row;
    if (row.mode == Mode::training && has_eval_) return;
    std::string line = std::to_string(row.epoch);
    const EpochRow* eval = row.mode == Mode::evaluation ? &row : nullptr;
    append_metrics(line, train_ ? &*train_ : nullptr);
    append_metrics(line, eval);
    line += "," + number(row.lr);
    line += "," + (train_ ? fixed(train_->duration_s, 3) : "");
    line += "," + (eval ? fixed(eval->duration_s, 3) : "");
    file_.append_line(line + "," + fixed(row.elapsed_s, 3));
  }

  void sync() { file_.sync(); }

 private:
  static std::string number(double value) {
    if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    return nlohmann::json(value).dump();  // the shortest text that reads back as the same number
  }

  void append_metrics(std::string& line, const EpochRow* row) const {
    for (const std::string& name : names_) {
      line += ',';
      if (!row) continue;
      for (const auto& [known, value] : row->metrics) {
        if (known == name) line += number(value);
      }
    }
  }

  AppendFile file_;
  bool has_eval_;
  std::vector<std::string> names_;
  std::optional<EpochRow> train_;
};

class RowFiles : public RunRows {
 public:
  RowFiles(const RunFolder& folder, std::shared_ptr<FileLock> lock)
      : lock_(std::move(lock)),
        rows_path_(folder.file("rows.jsonl")),
        csv_path_(folder.file("summary.csv")),
        rows_(rows_path_) {}

  std::uint64_t bytes() const override { return rows_.length(); }
  void sync() override { rows_.sync(); }

  void check_cut(std::uint64_t bytes) const override {
    const auto refuse = [this](const std::string& what) {
      throw Error(ErrorKind::data, "cut_rows", rows_path_.string() + ": " + what);
    };
    if (bytes > rows_.length())
      refuse(counted(rows_.length(), "byte") + ", wanted at least " + std::to_string(bytes));
    if (bytes > 0 && read_text_file(rows_path_, kMaxRowsBytes).at(bytes - 1) != '\n')
      refuse("no row ends at byte " + std::to_string(bytes));
  }

  void cut_to(std::uint64_t bytes) override {
    check_cut(bytes);
    rows_.truncate_to(bytes);
    csv_.reset();
    std::error_code error;
    fs::remove(csv_path_, error);
    if (error) {
      throw Error(ErrorKind::io, "cut_rows",
                  csv_path_.string() + ": cannot be removed: " + error.message());
    }
    struct ToCsv : RowSink {
      explicit ToCsv(RowFiles& files) : to(files) {}
      void begin(const RunRow& row) override { to.csv_.emplace(to.csv_path_, row); }
      void epoch(const EpochRow& row) override {
        if (to.csv_) to.csv_->add(row);
      }
      RowFiles& to;
    } to_csv(*this);
    replay(to_csv);
  }

  void replay(RowSink& sink) const override {
    if (&sink == this) return;
    const std::string text = read_text_file(rows_path_, kMaxRowsBytes);
    for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      try {
        read_json_line(text.substr(at, end - at), sink);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::data) throw;
        throw Error(ErrorKind::data, "read_rows", rows_path_.string() + ": " + error.what());
      }
    }
  }

  void begin(const RunRow& row) override {
    rows_.append_line(to_json_line(row));
    csv_.emplace(csv_path_, row);
  }
  void batch(const BatchRow& row) override {
    if (row.mode == Mode::training) rows_.append_line(to_json_line(row));
  }
  void stats(const StatsRow& row) override { rows_.append_line(to_json_line(row)); }
  void epoch(const EpochRow& row) override {
    rows_.append_line(to_json_line(row));
    if (csv_) csv_->add(row);
  }
  void event(const EventRow& row) override { rows_.append_line(to_json_line(row)); }
  void end(const EndRow& row) override {
    // Before the row that calls the run ended, and so nothing to resume.
    if (csv_) csv_->sync();
    rows_.append_line(to_json_line(row));
    rows_.sync();
  }

 private:
  std::shared_ptr<FileLock> lock_;
  fs::path rows_path_, csv_path_;
  AppendFile rows_;
  std::optional<SummaryCsv> csv_;
};

}  // namespace

RunFolder::RunFolder(fs::path path, bool overwrite) : path_(std::move(path)) {
  const auto refuse = [this](const std::string& what) {
    throw Error(ErrorKind::usage, "run_folder", path_.string() + ": " + what);
  };
  try {
    if (fs::exists(path_) && !fs::is_directory(path_)) refuse("is not a folder");
    const bool existed = fs::exists(path_);
    if (existed && !is_run(path_) && holds_anything(path_))
      refuse("holds other files, wanted a new or empty folder");
    create_folders(path_);
    try {
      lock_ = std::make_shared<FileLock>(path_ / kLock);
    } catch (...) {
      std::error_code ignored;  // it stays when another process has begun a run there
      if (!existed) fs::remove(path_, ignored);
      throw;
    }
    if (is_run(path_)) {
      if (!overwrite) refuse("holds a run; choose another --output, or --overwrite it");
      // Checkpoints first: without the rows that they count they would be refused.
      for (const char* name : kFolders) fs::remove_all(path_ / name);
      sync_folder(path_);
      for (const char* name : kFiles) fs::remove(path_ / name);
      fs::remove(path_ / kArgs);  // last: until then the folder is known for a run's
    }
    remove_temporaries(path_);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::io, "run_folder", path_.string() + ": " + error.code().message());
  }
}

bool RunFolder::holds_run(const fs::path& path) {
  std::error_code error;
  return fs::exists(path / kArgs, error);
}

RunFolder RunFolder::reopen(fs::path path) {
  RunFolder folder;
  folder.path_ = std::move(path);
  if (!holds_run(folder.path_)) {
    throw Error(ErrorKind::usage, "run_folder",
                folder.path_.string() + ": holds no run, wanted a folder with args.json");
  }
  folder.lock_ = std::make_shared<FileLock>(folder.path_ / kLock);
  remove_temporaries(folder.path_);
  remove_temporaries(folder.path_ / kCheckpoints);
  create_folders(folder.path_);  // its name may not be durable yet
  return folder;
}

void RunFolder::write_args(const nlohmann::json& args) {
  write_json(kArgs, args);
}

void RunFolder::write_json(const std::string& name, const nlohmann::json& json) {
  write_file(file(name), json_text(json, 1) + "\n");
}

std::shared_ptr<RunRows> RunFolder::rows() {
  return std::make_shared<RowFiles>(*this, lock_);
}

void RunFolder::add_restart(const nlohmann::json& record) {
  const fs::path path = path_ / "restarts.jsonl";
  AppendFile file(path);
  // A record that a power failure cut off must not spoil this one.
  const std::string before = read_text_file(path, kMaxRestartsBytes);
  const std::size_t end = before.rfind('\n');
  const std::size_t whole = end == std::string::npos ? 0 : end + 1;
  if (whole < before.size()) file.truncate_to(whole);
  file.append_line(json_text(record));
  file.sync();
}

}  // namespace fatwood
