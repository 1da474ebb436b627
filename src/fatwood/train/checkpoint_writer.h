// CheckpointWriter: writes snapshots on a thread of its own, so that training waits for the copy
// alone. At most two snapshots exist: the one that is being written and the next.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fatwood/train/checkpoint.h>

namespace fatwood {

struct CheckpointWriterOptions {
  std::filesystem::path folder;  ///< created when missing
  std::int64_t keep = 2;         ///< newest checkpoints that stay, beside the best
  /// Called before each file is written, on the writer's thread: makes the rows durable that the
  /// checkpoint counts. What it throws makes the save fail.
  std::function<void()> before_write = {};
  std::int64_t start_step = 0;            ///< of the run; checkpoints up to it are its own
  std::optional<std::int64_t> best = {};  ///< step of the best one so far
};

/// What became of a snapshot.
struct SaveOutcome {
  std::int64_t step = 0;
  std::filesystem::path path = {};
  bool best = false;
  std::string error = {};   ///< empty: it is written, durable and read back
  std::string remark = {};  ///< what went wrong afterwards: an old file that would not go
  double write_s = 0;
};

/// How much a snapshot matters. While one waits, a newer one of the same weight or more takes its
/// place; one of less is not taken. They are written in the order in which they were handed over.
enum class SaveWeight { regular, epoch_end, best };

class CheckpointWriter {
 public:
  explicit CheckpointWriter(CheckpointWriterOptions options);
  ~CheckpointWriter();  ///< writes what waits
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// A snapshot to fill, or null while both are taken by what must not be lost. With `wait`, waits
  /// for one.
  Snapshot* acquire(SaveWeight weight, bool wait = false);
  /// Hands over the snapshot that acquire() gave.
  void submit(Snapshot* snapshot, SaveWeight weight);
  /// Gives back what acquire() gave, unused.
  void abandon(Snapshot* snapshot);
  /// Waits until nothing is left to write.
  void drain();
  /// What became of the snapshots written since the last call.
  std::vector<SaveOutcome> outcomes();

 private:
  enum class State { free, filling, waiting, writing };
  struct Slot {
    Snapshot snapshot;
    State state = State::free;
    SaveWeight weight = SaveWeight::regular;
    std::uint64_t order = 0;  // of being handed over; a step can be saved twice, before an epoch's
                              // evaluation and behind it
  };

  void work(const std::stop_token& stop);
  Slot* slot_in(State state);
  void set(Snapshot* snapshot, State state, SaveWeight weight);
  SaveOutcome write(const Slot& slot);
  std::string prune();

  CheckpointWriterOptions options_;
  std::vector<std::int64_t> whole_;  // steps of checkpoints that are known to be good, rising
  std::array<Slot, 2> slots_;
  std::uint64_t submitted_ = 0;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<SaveOutcome> outcomes_;
  std::jthread thread_;  // last: the others exist as long as it runs
};

}  // namespace fatwood
