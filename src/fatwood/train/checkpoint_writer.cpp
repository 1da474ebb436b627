#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>
#include <utility>

#include <fatwood/core/allocator.h>
#include <fatwood/core/error.h>
#include <fatwood/io/file.h>
#include <fatwood/train/checkpoint_writer.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

}  // namespace

CheckpointWriter::CheckpointWriter(CheckpointWriterOptions options) : options_(std::move(options)) {
  options_.keep = std::max<std::int64_t>(options_.keep, 2);
  try {
    for (const ListedCheckpoint& listed : list_checkpoints(options_.folder)) {
      if (listed.step <= options_.start_step) whole_.insert(whole_.begin(), listed.step);
    }
  } catch (const Error&) {
    // Saves will say what is wrong with the folder. Those of before stay longer than they need.
    whole_.clear();
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

CheckpointWriter::~CheckpointWriter() {
  drain();
}

CheckpointWriter::Slot* CheckpointWriter::slot_in(State state) {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [state](const Slot& slot) { return slot.state == state; });
  return found == slots_.end() ? nullptr : &*found;
}

Snapshot* CheckpointWriter::acquire(SaveWeight weight, bool wait) {
  std::unique_lock lock(mutex_);
  if (wait) changed_.wait(lock, [this] { return slot_in(State::free) != nullptr; });
  Slot* slot = slot_in(State::free);
  if (!slot) {
    for (Slot& waiting : slots_) {
      if (waiting.state != State::waiting || waiting.weight > weight) continue;
      if (!slot || std::pair(waiting.weight, waiting.order) < std::pair(slot->weight, slot->order))
        slot = &waiting;
    }
    if (!slot) return nullptr;
  }
  slot->state = State::filling;
  return &slot->snapshot;
}

void CheckpointWriter::set(Snapshot* snapshot, State state, SaveWeight weight) {
  const std::lock_guard lock(mutex_);
  for (Slot& slot : slots_) {
    if (&slot.snapshot != snapshot) continue;
    slot.state = state;
    slot.weight = weight;
    slot.order = ++submitted_;
  }
  changed_.notify_all();
}

void CheckpointWriter::submit(Snapshot* snapshot, SaveWeight weight) {
  set(snapshot, State::waiting, weight);
}

void CheckpointWriter::abandon(Snapshot* snapshot) {
  set(snapshot, State::free, SaveWeight::regular);
}

void CheckpointWriter::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !slot_in(State::waiting) && !slot_in(State::writing); });
}

std::vector<SaveOutcome> CheckpointWriter::outcomes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(outcomes_, {});
}

void CheckpointWriter::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return slot_in(State::waiting) != nullptr; })) {
    // Both may wait: the older one first.
    Slot* slot = slot_in(State::waiting);
    for (Slot& other : slots_) {
      if (other.state == State::waiting && other.order < slot->order) slot = &other;
    }
    slot->state = State::writing;
    lock.unlock();
    renew_reserve();  // an earlier save may have used it
    SaveOutcome outcome{.step = slot->snapshot.step()};
    try {
      outcome = write(*slot);
    } catch (const std::bad_alloc&) {
      outcome.error = "out of memory";  // short enough to need none
    }
    lock.lock();
    slot->state = State::free;
    outcomes_.push_back(std::move(outcome));
    changed_.notify_all();
  }
}

SaveOutcome CheckpointWriter::write(const Slot& slot) {
  const Clock::time_point start = Clock::now();
  const std::int64_t step = slot.snapshot.step();
  SaveOutcome outcome{.step = step,
                      .path = options_.folder / checkpoint_name(step),
                      .best = slot.weight == SaveWeight::best};
  try {
    if (const std::string name = slot.snapshot.first_not_finite(); !name.empty()) {
      throw Error(
          ErrorKind::diverged, "checkpoint",
          outcome.path.string() + ": not written: " + name + " holds a number that is not finite");
    }
    if (options_.before_write) options_.before_write();
    create_folders(options_.folder);
    write_checkpoint(outcome.path, slot.snapshot.views(), slot.snapshot.about());
    std::erase_if(whole_, [step](std::int64_t other) { return other >= step; });
    whole_.push_back(step);
    if (outcome.best) options_.best = step;
    outcome.remark = prune();
  } catch (const std::exception& error) {
    outcome.error = error.what();
  }
  outcome.write_s = std::chrono::duration<double>(Clock::now() - start).count();
  return outcome;
}

// Removes what is older than the newest that are to stay. Files of later steps are not this run's
// to judge: they were passed over, or belong to a future that was given up.
std::string CheckpointWriter::prune() {
  const auto keep = static_cast<std::size_t>(options_.keep);
  if (whole_.size() <= keep) return "";
  const std::int64_t oldest = whole_[whole_.size() - keep];
  std::string remark;
  std::vector<ListedCheckpoint> all;
  try {
    all = list_checkpoints(options_.folder);
  } catch (const Error& error) {
    return error.what();  // the new one is written all the same; the next save prunes
  }
  for (const ListedCheckpoint& listed : all) {
    if (listed.step >= oldest || listed.step == options_.best) continue;
    std::error_code error;
    if (!fs::remove(listed.path, error) && error)
      remark = listed.path.string() + ": cannot be removed: " + error.message();
  }
  std::erase_if(whole_, [&](std::int64_t step) { return step < oldest && step != options_.best; });
  return remark;
}

}  // namespace fatwood
