#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/philox.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/descriptor.h>
#include <fatwood/io/file.h>
#include <fatwood/recipes/train_resume.h>
#include <fatwood/recipes/verify_resume.h>
#include <fatwood/train/compare_runs.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxRowsFile = std::uint64_t{16} << 30;
constexpr auto kPoll = std::chrono::milliseconds(2);
constexpr int kSignalled = 128;

// The program as a process of its own, its output in a file.
class Child {
 public:
  Child(const fs::path& program, const std::vector<std::string>& arguments, const fs::path& log) {
    std::vector<std::string> words{program.string()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    // This program's signals are blocked for its watcher; the child is to have its own.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    const int error =
        posix_spawn(&pid_, program.c_str(), &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw_io_error("verify_resume", program, "posix_spawn", error);
  }
  ~Child() {
    if (!status_) kill_now();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool running() {
    if (!status_) collect(WNOHANG);
    return !status_;
  }
  /// Its exit code; 128 + n for signal n.
  int wait() {
    while (!status_) collect(0);
    return *status_;
  }
  int kill_now() {
    ::kill(pid_, SIGKILL);
    return wait();
  }

 private:
  void collect(int flags) {
    int status = 0;
    const pid_t got = ::waitpid(pid_, &status, flags);
    if (got == pid_)
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalled + WTERMSIG(status);
    if (got == -1 && errno != EINTR) status_ = kSignalled;
  }

  pid_t pid_ = -1;
  std::optional<int> status_;
};

// Training batches in a run's rows; those that were appended since the last look.
class BatchCounter {
 public:
  explicit BatchCounter(const fs::path& run) : path_(run / "rows.jsonl") {}

  std::int64_t count() {
    std::error_code error;
    const std::uint64_t size = fs::file_size(path_, error);
    if (error || size == read_) return batches_;
    if (size < read_) read_ = 0, batches_ = 0;  // a resume has cut it
    const std::string text = read_text_file(path_, kMaxRowsFile);
    std::size_t at = read_;
    for (std::size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      if (text.compare(at, kBatch.size(), kBatch) == 0) ++batches_;
    }
    read_ = at;
    return batches_;
  }

 private:
  static constexpr std::string_view kBatch = R"({"type":"batch")";
  fs::path path_;
  std::uint64_t read_ = 0;
  std::int64_t batches_ = 0;
};

// The newest whole checkpoint's step, found by reading them all; -1 for none.
std::int64_t newest_step(const fs::path& run) {
  for (const ListedCheckpoint& listed : list_checkpoints(run / "checkpoints")) {
    try {
      return read_checkpoint(listed.path).about.at("step").get<std::int64_t>();
    } catch (const Error&) {
      // Half a checkpoint is what a kill may leave; there must be an older whole one.
    }
  }
  return -1;
}

nlohmann::json restart_in(const std::string& line, const fs::path& run) {
  try {
    return parse_json(line);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data, "verify_resume",
                run.string() + ": restarts.jsonl: " + error.what());
  }
}

std::vector<nlohmann::json> restarts_of(const fs::path& run) {
  std::vector<nlohmann::json> restarts;
  if (!fs::exists(run / "restarts.jsonl")) return restarts;
  const std::string text = read_text_file(run / "restarts.jsonl", kMaxRowsFile);
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    restarts.push_back(restart_in(text.substr(at, end - at), run));
  return restarts;
}

class Verifier {
 public:
  explicit Verifier(const VerifyResumeOptions& options)
      : options_(options), random_(options.seed, RandomPurpose::verify_resume, 0) {}

  void train_reference() {
    Child child(options_.program, training("reference"), log("reference"));
    if (const int code = child.wait(); code != 0) {
      const std::string output = read_text_file(log("reference"), kMaxRowsFile);
      throw Error(code <= 6 ? static_cast<ErrorKind>(code) : ErrorKind::internal, "verify_resume",
                  "the uninterrupted run ended with code " + std::to_string(code) + ": " +
                      output.substr(output.size() > 400 ? output.size() - 400 : 0));
    }
    total_ = BatchCounter(run("reference")).count();
    say("uninterrupted: " + std::to_string(total_) + " steps");
  }

  VerifyTrial trial(int number) {
    const std::string name = "killed-" + std::to_string(number);
    VerifyTrial result;
    const int kills = number % 2 == 1 ? 1 : 2;
    std::vector<std::string> arguments = training(name);
    for (int kill = 0; kill < kills; ++kill) {
      const std::int64_t from = result.killed_at.empty() ? 1 : result.killed_at.back() + 1;
      const std::int64_t at =
          from +
          random_.below(static_cast<std::uint32_t>(std::max<std::int64_t>(total_ - from, 1)));
      Child child(options_.program, arguments, log(name));
      // Not before the first checkpoint: there is nothing to resume yet.
      BatchCounter batches(run(name));
      while (child.running() && (batches.count() < at || newest_step(run(name)) <= 0))
        std::this_thread::sleep_for(kPoll);
      if (!child.running()) break;  // too fast for this kill
      child.kill_now();
      result.killed_at.push_back(BatchCounter(run(name)).count());
      result.resumed_at.push_back(newest_step(run(name)));
      arguments = resuming(name);
    }
    if (result.killed_at.empty()) {
      result.problem = "it ended before it could be killed: train longer or save more often";
      return result;
    }
    if (const int code = Child(options_.program, arguments, log(name)).wait(); code != 0) {
      result.problem =
          "the resumed run ended with code " + std::to_string(code) + "; " + log(name).string();
      return result;
    }
    result.problem = judge(name, result.resumed_at);
    return result;
  }

 private:
  std::string judge(const std::string& name, const std::vector<std::int64_t>& expected) const {
    const std::vector<nlohmann::json> restarts = restarts_of(run(name));
    if (restarts.size() != expected.size())
      return counted(restarts.size(), "restart") + " recorded, wanted " +
             std::to_string(expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto step = restarts[i].at("step").get<std::int64_t>();
      if (step != expected[i] || step <= 0)
        return "resumed at step " + std::to_string(step) + ", the newest whole checkpoint was at " +
               std::to_string(expected[i]);
    }
    const std::vector<RunDifference> differences = compare_runs(run("reference"), run(name));
    if (differences.empty()) return "";
    return differences[0].file + ", " + differences[0].where + ": " + differences[0].what;
  }

  fs::path run(const std::string& name) const { return options_.folder / name; }
  fs::path log(const std::string& name) const { return options_.folder / (name + ".log"); }
  void say(const std::string& line) const {
    if (options_.say) options_.say(line);
  }
  std::vector<std::string> training(const std::string& name) const {
    std::vector<std::string> arguments{"train"};
    arguments.insert(arguments.end(), options_.train.begin(), options_.train.end());
    arguments.insert(arguments.end(), {"--output", run(name).string()});
    return arguments;
  }

  // With the instruction set by name: a FATWOOD_ISA of the user's would win over the run's own.
  std::vector<std::string> resuming(const std::string& name) const {
    return {"train", "--resume", run(name).string(), "--isa", isa_of_run(run(name))};
  }

  const VerifyResumeOptions& options_;
  PhiloxSequence random_;
  std::int64_t total_ = 0;
};

}  // namespace

std::vector<VerifyTrial> verify_resume(const VerifyResumeOptions& options) {
  if (options.trials < 1)
    throw Error(ErrorKind::usage, "verify_resume",
                std::to_string(options.trials) + " trials, wanted 1 or more");
  if (fs::exists(options.folder) && !fs::is_empty(options.folder))
    throw Error(ErrorKind::usage, "verify_resume",
                options.folder.string() + ": not empty, wanted a new or empty folder");
  fs::create_directories(options.folder);
  Verifier verifier(options);
  verifier.train_reference();
  std::vector<VerifyTrial> trials;
  for (int number = 1; number <= options.trials; ++number) {
    const VerifyTrial& trial = trials.emplace_back(verifier.trial(number));
    std::string line = "run " + std::to_string(number);
    for (std::size_t i = 0; i < trial.killed_at.size(); ++i) {
      line += ", killed after step " + std::to_string(trial.killed_at[i]) + ", resumed at " +
              std::to_string(trial.resumed_at[i]);
    }
    if (options.say) options.say(line + ": " + (trial.problem.empty() ? "equal" : trial.problem));
  }
  return trials;
}

}  // namespace fatwood
