#include <algorithm>
#include <cmath>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/machine.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/checkpointing.h>

namespace fatwood {

using nlohmann::json;

Checkpointing::Checkpointing(Options options) : options_(std::move(options)) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorKind::usage, "Checkpointing", what);
  };
  if (options_.folder.empty()) refuse("no folder");
  if (options_.keep < 2) refuse("keep " + std::to_string(options_.keep) + ", wanted 2 or more");
  if (options_.steps < 0)
    refuse("every " + std::to_string(options_.steps) + " steps, wanted 0 or more");
  if (!(options_.minutes >= 0))
    refuse("every " + std::to_string(options_.minutes) + " minutes, wanted 0 or more");
}

Checkpointing::~Checkpointing() = default;

void Checkpointing::before_fit(Run& run) {
  cost_ = {};
  newest_.clear();
  last_.reset();
  last_failed_ = false;
  put_off_ = false;
  last_time_ = Clock::now();
  committed_best_ = best_;
  submitted_bests_.clear();
  writer_ = std::make_unique<CheckpointWriter>(
      CheckpointWriterOptions{.folder = options_.folder,
                              .keep = options_.keep,
                              .before_write =
                                  [rows = options_.rows] {
                                    if (rows) rows->sync();
                                  },
                              .start_step = run.step,
                              .best = best_ ? std::optional(best_->step) : std::nullopt});
}

void Checkpointing::before_epoch(Run& run) {
  pass_complete_ = batch_complete_ = false;
  rows_before_pass_ = options_.rows ? options_.rows->bytes() : 0;
  // Here and not in before_fit: now every callback has made its state.
  if (options_.start && run.step == 0 && run.training() && !last_)
    save(run, {}, SaveWeight::epoch_end, /*wait=*/true);
}

void Checkpointing::before_batch(Run&) {
  batch_complete_ = false;
}

void Checkpointing::after_batch(Run&) {
  batch_complete_ = true;
}

void Checkpointing::after_epoch(Run&) {
  pass_complete_ = true;
}

bool Checkpointing::due(std::int64_t step) const {
  if (put_off_) return true;
  if (options_.steps > 0 && step % options_.steps == 0) return true;
  return options_.minutes > 0 &&
         Clock::now() - last_time_ >=
             std::chrono::duration<double, std::ratio<60>>(options_.minutes);
}

void Checkpointing::cleanup_batch(Run& run) {
  hear(/*rows_open=*/true);
  if (!run.training() || run.failed()) return;
  const auto& cancel = run.cancelled();
  if (cancel ? cancel->scope == Scope::epoch : !batch_complete_) return;
  const Position position{.epoch = run.epoch, .pass = Mode::training, .batch = run.batch_index + 1};
  if (cancel && cancel->scope == Scope::fit) {
    // Any other end would come again: the resumed run is to reach it by itself.
    if (batch_complete_ && cancel->status == "interrupted")
      save(run, position, SaveWeight::epoch_end, /*wait=*/true);
  } else if (due(step_at(position, run.batches))) {
    save(run, position, SaveWeight::regular, /*wait=*/false);
  }
}

void Checkpointing::cleanup_epoch(Run& run) {
  hear(/*rows_open=*/true);
  if (run.failed()) return;
  const auto& cancel = run.cancelled();
  if (cancel && cancel->scope == Scope::fit) {
    // An interrupted evaluation is done again as a whole: it has changed nothing.
    if (!run.training() && cancel->status == "interrupted" && batch_complete_)
      save(run, {.epoch = run.epoch, .pass = Mode::evaluation, .batch = 0}, SaveWeight::epoch_end,
           /*wait=*/true);
    return;
  }
  const bool ends_epoch = !run.training() || !run.loaders.eval;
  const bool last = run.epoch + 1 == run.epochs;
  if (!ends_epoch || !pass_complete_ || !(options_.epochs || last)) return;
  const Position position{.epoch = run.epoch + 1, .pass = Mode::training, .batch = 0};
  const bool best = is_best(run);
  if (best) {
    const auto value = std::find_if(run.epoch_metrics.begin(), run.epoch_metrics.end(),
                                    [this](const auto& m) { return m.first == options_.best; });
    best_ = Best{step_at(position, run.training_batches()), value->second};
  }
  if (best) submitted_bests_.push_back(*best_);
  save(run, position, best ? SaveWeight::best : SaveWeight::epoch_end, last);
}

bool Checkpointing::is_best(const Run& run) const {
  if (options_.best.empty() || run.training()) return false;
  for (const MetricInfo& info : run.metrics) {
    if (info.name != options_.best) continue;
    for (const auto& [name, value] : run.epoch_metrics) {
      if (name != options_.best || !std::isfinite(value)) continue;
      return !best_ || (info.higher_is_better ? value > best_->value : value < best_->value);
    }
  }
  return false;
}

bool Checkpointing::save(const Run& run, const Position& position, SaveWeight weight, bool wait) {
  if (last_ == position) {
    if (wait) writer_->drain();
    hear(/*rows_open=*/true);
    if (last_ == position) return true;  // else it could not be written: once more
  }
  const Clock::time_point start = Clock::now();
  std::int64_t snapshot_step = 0;
  Snapshot* snapshot = writer_->acquire(weight, wait);
  if (!snapshot) {
    if (!put_off_) ++cost_.put_off;
    put_off_ = true;
    return false;
  }
  try {
    json more = options_.about.is_object() ? options_.about : json::object();
    // What depends on the digits of times, or is one.
    const bool repeats_pass = position.pass == Mode::evaluation;
    more["timing"] = {{"saved", this_machine().date}};
    if (options_.rows) {
      more["timing"]["rows_bytes"] = repeats_pass ? rows_before_pass_ : options_.rows->bytes();
    }
    snapshot->take(run, position, more);
    snapshot_step = snapshot->step();  // before the writer has it
  } catch (...) {
    writer_->abandon(snapshot);
    throw;
  }
  writer_->submit(snapshot, weight);
  last_ = position;
  last_step_ = snapshot_step;
  last_time_ = Clock::now();
  put_off_ = false;
  cost_.copy_s += std::chrono::duration<double>(last_time_ - start).count();
  if (wait) {
    writer_->drain();
    hear(/*rows_open=*/true);
  }
  return true;
}

// Learns what became of the snapshots that were written meanwhile.
void Checkpointing::hear(bool rows_open) {
  for (const SaveOutcome& outcome : writer_->outcomes()) {
    cost_.write_s += outcome.write_s;
    if (outcome.error.empty()) {
      ++cost_.saved;
      newest_ = outcome.path;
      last_failed_ = false;
      if (outcome.best) {
        for (const Best& best : submitted_bests_) {
          if (best.step == outcome.step) committed_best_ = best;
        }
      }
      if (!outcome.remark.empty() && options_.say) options_.say(outcome.remark);
      continue;
    }
    ++cost_.failed;
    last_failed_ = true;
    if (outcome.step == last_step_) last_.reset();
    if (outcome.best && best_ && best_->step == outcome.step) best_ = committed_best_;
    const EventRow event{outcome.step, "checkpoint failed", outcome.error};
    try {
      if (options_.recorder && rows_open) {
        options_.recorder->event(event);
        continue;
      }
    } catch (const Error&) {
      // The disk that has no room for a checkpoint may have none for a row.
    }
    if (options_.say)
      options_.say(event.what + " at step " + std::to_string(event.step) + ": " + event.reason);
  }
}

void Checkpointing::cleanup_fit(Run&) {
  writer_->drain();
  hear(/*rows_open=*/false);
  writer_.reset();
}

json Checkpointing::state_dict() const {
  json state{{"best", nullptr}};
  if (best_)
    state["best"] = {{"step", best_->step}, {"metric", options_.best}, {"value", best_->value}};
  if (rewinds_ > 0) state["rewinds"] = rewinds_;
  return state;
}

void Checkpointing::load_state_dict(const json& state) {
  const json& best = state.at("best");
  best_.reset();
  rewinds_ = state.contains("rewinds") ? integer_of<int>(state["rewinds"], "restore") : 0;
  if (rewinds_ < 0) throw Error(ErrorKind::data, "restore", "rewinds " + std::to_string(rewinds_));
  if (best.is_null() || best.at("metric") != options_.best) return;
  best_ =
      Best{integer_of<std::int64_t>(best.at("step"), "restore"), best.at("value").get<double>()};
}

}  // namespace fatwood
