#include <algorithm>
#include <array>
#include <chrono>
#include <set>
#include <system_error>
#include <thread>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/machine.h>
#include <fatwood/core/text.h>
#include <fatwood/core/version.h>
#include <fatwood/inspect/summary.h>
#include <fatwood/io/file.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/state.h>
#include <fatwood/recipes/job.h>
#include <fatwood/recipes/reproduce.h>
#include <fatwood/recipes/train_run.h>
#include <fatwood/report/html.h>
#include <fatwood/report/run_record.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecord = "reproduce.json";

[[noreturn]] void refuse_page(const std::string& what) {
  throw Error(ErrorKind::usage, "reproduce", what);
}

/// Those of the run in folder `run`; null where it holds none, or args.json is damaged.
nlohmann::json recorded_options(const fs::path& run) {
  if (!RunFolder::holds_run(run)) return nullptr;
  try {
    const nlohmann::json args = parse_json(read_text_file(run / "args.json", 1 << 20));
    return args.value("options", nlohmann::json());
  } catch (const nlohmann::json::exception&) {
    return nullptr;
  }
}

/// Whether the run that `train.output` holds ended where the page's did.
bool ended_as_the_page(const TrainRunOptions& train) {
  const RunRecord record = read_run(train.output);
  if (train.model != kInterruptedModel) return record.status() == "completed";
  // The user may have interrupted it too, anywhere.
  return record.end && record.end->status == "interrupted" && record.end->step == kInterruptedAfter;
}

/// "2", or "1, 2" where a call that goes on has other threads than the one before.
std::string threads_of(const std::vector<RunRecord>& runs) {
  std::set<std::string> threads;
  for (const RunRecord& run : runs) {
    for (const auto& [name, value] : run.machine)
      if (name == "threads" && value.find_first_not_of("0123456789") == std::string::npos)
        threads.insert(value);
  }
  std::string text;
  for (const std::string& count : threads) text += (text.empty() ? "" : ", ") + count;
  return text;
}

/// Calls `interrupt` when the run has recorded a number of batches, and waits until it is heeded,
/// so that the run ends after exactly that batch.
class InterruptAfter : public RowSink {
 public:
  InterruptAfter(std::int64_t batches, std::function<void()> interrupt, std::stop_token stop)
      : batches_(batches), interrupt_(std::move(interrupt)), stop_(std::move(stop)) {}

  bool called() const { return called_; }

  void batch(const BatchRow& row) override {
    if (called_ || row.mode != Mode::training || row.step + 1 != batches_) return;
    called_ = true;
    interrupt_();
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!stop_.stop_requested()) {
      if (std::chrono::steady_clock::now() > patience)
        throw Error(
            ErrorKind::internal, "reproduce",
            "the interrupt at batch " + std::to_string(batches_) + " was not noticed within 10 s");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  std::int64_t batches_;
  std::function<void()> interrupt_;
  std::stop_token stop_;
  bool called_ = false;
};

class Reproducer {
 public:
  Reproducer(const ReproduceOptions& options, const ReproduceHooks& hooks)
      : options_(options), hooks_(hooks) {}

  ReproduceResult run() {
    if (options_.seeds < 1)
      refuse_page("--seeds " + std::to_string(options_.seeds) + ", wanted 1 or more");
    check(train_options("cnn", options_.seed));
    choose_device(options_.device);
    choose_folder();
    find_kept();
    if (!check_data()) return stopped();
    make_folder();
    if (!interrupted_run()) return stopped();
    for (const PageRun& page : page_runs()) {
      print_heading(page);
      if (page.model == "resnet18") print("N. parameters: " + with_commas(page.params) + "\n");
      for (std::int64_t i = 0; i < options_.seeds; ++i) {
        if (!train(page, seed_at(i))) return stopped();
      }
      print_epochs(page);
      for (const PageSummary& summary : page_summaries())
        if (summary.model == page.model) check_summary(summary);
    }
    return finished();
  }

 private:
  std::uint64_t seed_at(std::int64_t i) const {
    return options_.seed + static_cast<std::uint64_t>(i);
  }

  TrainRunOptions train_options(std::string_view model, std::uint64_t seed) const {
    TrainRunOptions train;
    train.model = model;
    train.seed = seed;
    if (options_.quick) train.epochs = 1;
    train.engine = options_.engine;
    train.device = options_.device;
    train.threads = options_.threads;
    train.data = options_.data;
    train.output = folder_ / (std::string(model) + "-" + std::to_string(seed));
    return train;
  }

  void choose_folder() {
    folder_ = options_.output;
    if (folder_.empty()) {
      std::string date = this_machine().date.substr(0, 19);
      std::erase(date, ':');
      folder_ = fs::path("runs") / (date + "-reproduce");
    }
    try {
      if (fs::exists(folder_) && !fs::is_directory(folder_))
        refuse_page(folder_.string() + ": is not a folder");
      if (fs::exists(folder_) && !fs::is_empty(folder_) && !fs::exists(folder_ / kRecord))
        refuse_page(folder_.string() +
                    ": holds other files, wanted a new folder or one that reproduce began");
    } catch (const fs::filesystem_error& error) {
      throw Error(ErrorKind::io, "reproduce", folder_.string() + ": " + error.code().message());
    }
  }

  /// Looks at every run's folder, so that one of other options is refused before anything is done.
  void find_kept() {
    if (hooks_.interrupt) look_at(train_options(kInterruptedModel, options_.seed));
    for (const PageRun& page : page_runs()) {
      for (std::int64_t i = 0; i < options_.seeds; ++i)
        look_at(train_options(page.model, seed_at(i)));
    }
  }

  void look_at(const TrainRunOptions& train) {
    if (holds_run_of(train) && ended_as_the_page(train)) {
      kept_.insert(train.output);
    } else {
      all_kept_ = false;
    }
  }

  /// False where `train.output` holds no run; throws where it holds one of other options.
  bool holds_run_of(const TrainRunOptions& train) const {
    const nlohmann::json wanted = to_json(train);  // refuses what args.json cannot hold
    const nlohmann::json found = recorded_options(train.output);
    if (!found.is_object()) return false;
    for (const auto& [name, value] : wanted.items()) {
      // An option that the run's version did not have stands at its default.
      if (name == "data" || name == "threads" || !found.contains(name)) continue;
      if (found[name] != value) {
        refuse_page(train.output.string() + ": holds a run with --" + name + " " +
                    found[name].dump() + ", wanted " + value.dump() + "; choose another --output");
      }
    }
    return true;
  }

  /// Data that cannot be read leave no folder behind. Where every run is kept none are needed.
  /// False when the user stopped their download.
  bool check_data() const {
    if (all_kept_) return true;
    return load_data(train_options(kInterruptedModel, options_.seed), hooks_.say, begin_run())
        .has_value();
  }

  /// A record of an earlier call stays until this one's can take its place.
  void make_folder() const {
    try {
      fs::create_directories(folder_);
      if (!fs::exists(folder_ / kRecord)) write_record({});
    } catch (const fs::filesystem_error& error) {
      throw Error(ErrorKind::io, "reproduce", folder_.string() + ": " + error.code().message());
    }
  }

  /// False when the user stopped it, or asked for that since the run before.
  bool run_one(TrainRunOptions train, const std::shared_ptr<InterruptAfter>& interrupt,
               std::stop_token stop) {
    if (stop.stop_requested()) return false;
    TrainRunHooks hooks{.stop = std::move(stop), .say = hooks_.say};
    if (hooks_.displays) hooks.sinks = hooks_.displays();
    if (interrupt) hooks.sinks.push_back(interrupt);
    train.overwrite = true;  // an unfinished run of the same options: find_kept has looked
    const TrainRunResult result = train_run(train, hooks);
    if (interrupt && interrupt->called() && result.fit.status == "interrupted") return true;
    if (result.fit.status == "interrupted") return false;
    if (!result.fit.completed())
      throw Error(ErrorKind::diverged, "reproduce",
                  train.output.string() + ": " + result.fit.reason);
    return true;
  }

  std::stop_token begin_run() const {
    return hooks_.begin_run ? hooks_.begin_run() : std::stop_token();
  }

  bool interrupted_run() {
    if (!hooks_.interrupt) return true;
    const TrainRunOptions train = train_options(kInterruptedModel, options_.seed);
    folders_.push_back(train.output);
    print("\nCNN, interrupted after batch " + std::to_string(kInterruptedAfter) +
          " of its first epoch\n");
    if (!kept_.contains(train.output)) {
      const std::stop_token stop = begin_run();
      if (!run_one(train,
                   std::make_shared<InterruptAfter>(kInterruptedAfter, hooks_.interrupt, stop),
                   stop))
        return false;
    }
    const RunRecord record = read_run(train.output);
    print(record.status() + " after " + std::to_string(record.batches.size()) + " of " +
          std::to_string(record.run.batches) + " batches; statistics of " +
          std::to_string(record.stats.size()) + " kept for its plots\n");
    return true;
  }

  bool train(const PageRun& page, std::uint64_t seed) {
    const TrainRunOptions train = train_options(page.model, seed);
    folders_.push_back(train.output);
    if (kept_.contains(train.output)) {
      say(train.output.string() + ": finished before, kept");
      return true;
    }
    return run_one(train, nullptr, begin_run());
  }

  void print_heading(const PageRun& page) const { print("\n" + std::string(page.title) + "\n"); }

  void print_epochs(const PageRun& page) const {
    for (const ReproducedRun& run : held()) {
      if (run.page.model != page.model) continue;
      std::string seeds;
      for (const std::uint64_t seed : run.seeds)
        seeds += (seeds.empty() ? "" : ", ") + std::to_string(seed);
      print("\nbeside the page, seed" + std::string(run.seeds.size() > 1 ? "s " : " ") + seeds +
            "\n" + epoch_table(run).plain());
    }
  }

  void check_summary(const PageSummary& page) {
    const LayerPtr model = build_model(page.model);
    const std::string table = to_markdown(summarize(*model, torch::zeros({512, 1, 28, 28})),
                                          page.mflops ? SummaryForm::page : SummaryForm::shapes);
    print("\n" + table);
    if (table != page.markdown)
      throw Error(ErrorKind::model, "reproduce",
                  std::string(page.model) + ": this summary, wanted the page's\n" +
                      std::string(page.markdown));
    print("equal to the page's table\n");
  }

  std::vector<RunRecord> records() const {
    std::vector<RunRecord> records;
    for (const fs::path& folder : folders_)
      if (fs::exists(folder / "rows.jsonl")) records.push_back(read_run(folder));
    return records;
  }

  std::vector<ReproducedRun> held() const { return held_against_page(records()); }

  std::string conclusion_of(const std::vector<ReproducedRun>& runs) const {
    return options_.quick
               ? "one epoch each: nothing to judge; the page's rows are those of the first of three"
               : conclusion(runs);
  }

  ReproduceResult stopped() {
    say("stopped; the same call with --output " + folder_.string() + " goes on where it was");
    return {.complete = false, .folder = folder_, .runs = held()};
  }

  ReproduceResult finished() {
    const std::vector<RunRecord> all = records();
    std::vector<ReproducedRun> runs = held_against_page(all);
    ReportPart part{.title = "Beside the page", .lead = conclusion_of(runs)};
    std::string markdown = "# The page, reproduced\n\n" + conclusion_of(runs) + ".\n";
    for (const ReproducedRun& run : runs) {
      const TextTable table = epoch_table(run);
      const std::string title = std::string(run.page.title) + ", " +
                                std::to_string(run.seeds.size()) +
                                (run.seeds.size() == 1 ? " seed" : " seeds");
      markdown += "\n## " + title + "\n\n" + table.markdown();
      part.tables.emplace_back(title, table);
    }
    if (!options_.quick) {
      const TextTable verdicts = verdict_table(runs);
      print("\n" + verdicts.plain());
      markdown += "\n## Verdicts\n\n" + verdicts.markdown();
      part.tables.emplace_back("Verdicts", verdicts);
    }
    print("\n" + conclusion_of(runs) + "\n");
    const Machine machine = this_machine();
    markdown += "\n" + machine.cpu + ", threads of the runs: " + threads_of(all) + "; fatwood " +
                kVersion + ", LibTorch " + TORCH_VERSION + "; engine " + options_.engine + "; " +
                machine.date + ".\n";
    write_record(runs);
    write_file(folder_ / "reproduce.md", markdown);
    write_file(folder_ / "report.html", html_report(all, {part}));
    say("report: " + (folder_ / "report.html").string());
    return {.complete = true, .folder = folder_, .runs = std::move(runs)};
  }

  void write_record(const std::vector<ReproducedRun>& runs) const {
    const Machine machine = this_machine();
    const nlohmann::json json{
        {"fatwood", kVersion},
        {"libtorch", TORCH_VERSION},
        {"machine", {{"cpu", machine.cpu}, {"threads", at::get_num_threads()}}},
        {"date", machine.date},
        {"seeds", options_.seeds},
        {"seed", options_.seed},
        {"quick", options_.quick},
        {"engine", options_.engine},
        {"runs", to_json(runs)}};
    write_file(folder_ / kRecord, json.dump(1) + "\n");
  }

  void print(const std::string& text) const {
    if (hooks_.print) hooks_.print(text);
  }
  void say(const std::string& line) const {
    if (hooks_.say) hooks_.say(line);
  }

  const ReproduceOptions& options_;
  const ReproduceHooks& hooks_;
  fs::path folder_;
  std::set<fs::path> kept_;        // folders of runs that an earlier call finished
  bool all_kept_ = true;           // no run is left to be done
  std::vector<fs::path> folders_;  // of the runs, in the page's order
};

}  // namespace

ReproduceResult reproduce(const ReproduceOptions& options, const ReproduceHooks& hooks) {
  return Reproducer(options, hooks).run();
}

}  // namespace fatwood
