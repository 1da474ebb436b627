// Checkpointing: the callback that decides when a run's state is saved. It takes a copy between two
// batches and leaves the writing to a thread of its own (checkpoint_writer.h).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <fatwood/train/checkpoint_writer.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {

struct CheckpointingOptions {
  std::filesystem::path folder = {};  ///< wanted; `checkpoints` in a run's folder
  std::int64_t steps = 0;             ///< save after every n-th training batch; 0: not by steps
  double minutes = 5;                 ///< and when the last save is that long ago; 0: not by time
  bool epochs = true;                 ///< and at the end of every epoch
  bool start = false;                 ///< and before the first batch
  std::int64_t keep = 2;              ///< newest ones that stay, 2 or more
  std::string best = "loss";  ///< the checkpoint of the epoch whose evaluation is best by this
                              ///< metric stays too; empty: none
  nlohmann::json about = {};  ///< an object whose entries go into every checkpoint: machine, data
  std::shared_ptr<RunRows> rows = {};       ///< made durable before a checkpoint that counts them
  std::shared_ptr<Recorder> recorder = {};  ///< gets an event row where a save fails
  std::function<void(std::string_view)> say = {};  ///< a line for the user, likewise
};

/// What saving has cost so far.
struct CheckpointingCost {
  std::int64_t saved = 0, failed = 0;
  std::int64_t put_off = 0;  ///< times that a save was due while the last one was being written
  double copy_s = 0;         ///< in which training waited
  double write_s = 0;        ///< on the writer's thread
};

/// Saves between batches, when due and the writer has room: a save that is due while two snapshots
/// wait is put off, not waited for. Only the end of a fit, complete or interrupted, waits until its
/// state is on the disk. A failed save leaves the older checkpoints as they are and the fit
/// running. Throws Error{usage} for a negative number, keep below 2 or no folder.
class Checkpointing : public Callback {
 public:
  using Options = CheckpointingOptions;
  explicit Checkpointing(Options options);
  ~Checkpointing() override;

  std::string name() const override { return "checkpointing"; }
  Stage stage() const override { return Stage::save; }
  void before_fit(Run& run) override;
  void cleanup_fit(Run& run) override;
  void before_epoch(Run& run) override;
  void after_epoch(Run& run) override;
  void cleanup_epoch(Run& run) override;
  void before_batch(Run& run) override;
  void after_batch(Run& run) override;
  void cleanup_batch(Run& run) override;
  nlohmann::json state_dict() const override;
  void load_state_dict(const nlohmann::json& state) override;

  const CheckpointingCost& cost() const { return cost_; }
  /// The newest checkpoint that this object wrote; empty for none.
  const std::filesystem::path& newest() const { return newest_; }
  /// Whether the last save was written, or there was none.
  bool last_saved() const { return !last_failed_; }

  /// How often the run went back to a checkpoint: part of every checkpoint, kept by whoever
  /// rewinds.
  int rewinds() const { return rewinds_; }
  void set_rewinds(int count) { rewinds_ = count; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Best {
    std::int64_t step = 0;
    double value = 0;
  };

  bool due(std::int64_t step) const;
  bool is_best(const Run& run) const;
  bool save(const Run& run, const Position& position, SaveWeight weight, bool wait);
  void hear(bool rows_open);

  Options options_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::optional<Best> best_;            // what the next snapshot says
  std::optional<Best> committed_best_;  // what is on the disk
  std::vector<Best> submitted_bests_;   // and what may yet get there
  std::optional<Position> last_;        // of the last snapshot, unless it could not be written
  std::int64_t last_step_ = 0;          // its step
  bool last_failed_ = false;
  int rewinds_ = 0;
  Clock::time_point last_time_;
  bool put_off_ = false;
  bool batch_complete_ = false, pass_complete_ = false;
  std::uint64_t rows_before_pass_ = 0;
  CheckpointingCost cost_;
  std::filesystem::path newest_;
};

}  // namespace fatwood
