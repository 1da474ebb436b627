#include <algorithm>
#include <exception>

#include <nlohmann/json.hpp>

#include <fatwood/core/allocator.h>
#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/cuda/cross_entropy.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/learner.h>

namespace fatwood {

namespace {

// Sets a flag for as long as it lives.
class Raised {
 public:
  explicit Raised(bool& flag) : flag_(flag) { flag_ = true; }
  ~Raised() { flag_ = false; }
  Raised(const Raised&) = delete;
  Raised& operator=(const Raised&) = delete;

 private:
  bool& flag_;
};

}  // namespace

nlohmann::json Callback::state_dict() const {
  return nullptr;
}
void Callback::load_state_dict(const nlohmann::json&) {}

StepParts default_step_parts() {
  return {
      .predict = [](Run& run) { run.predictions = run.model->forward(run.batch.x); },
      .get_loss = [](Run& run) { run.loss = run.loss_function(run.predictions, run.batch.y); },
      .backward = [](Run& run) { run.loss.backward(); },
      .step = [](Run& run) { run.optimizer->step(); },
      .zero_grad = [](Run& run) { run.optimizer->zero_grad(); },
  };
}

double Run::loss_value() {
  if (!loss_value_) loss_value_ = measured ? measured().loss : loss.item<double>();
  return *loss_value_;
}

void Run::cancel(Scope scope, std::string reason, std::string status) {
  if (!open_ || scope < *open_) {
    const char* names[] = {"batch", "epoch", "fit"};
    throw Error(ErrorKind::usage, "cancel",
                std::string("no ") + names[static_cast<int>(scope)] +
                    " is running (reason given: " + reason + ")");
  }
  if (!cancel_ || cancel_->scope < scope)
    cancel_ = Cancel{scope, std::move(reason), std::move(status)};
}

const Learner::Bracket Learner::kFit{Scope::fit, &Callback::before_fit, &Callback::after_fit,
                                     &Callback::cleanup_fit};
const Learner::Bracket Learner::kEpoch{Scope::epoch, &Callback::before_epoch,
                                       &Callback::after_epoch, &Callback::cleanup_epoch};
const Learner::Bracket Learner::kBatch{Scope::batch, &Callback::before_batch,
                                       &Callback::after_batch, &Callback::cleanup_batch};

Learner::Learner(LearnerOptions options) : callbacks_(std::move(options.callbacks)) {
  if (!options.model) throw Error(ErrorKind::usage, "Learner", "no model");
  if (!options.loaders.train) throw Error(ErrorKind::usage, "Learner", "no training batches");
  keep_freed_memory();
  run_.model = std::move(options.model);
  run_.loaders = std::move(options.loaders);
  run_.optimizer = options.optimizer ? std::move(options.optimizer) : adamw(*run_.model);
  run_.loss_function = options.loss_function
                           ? std::move(options.loss_function)
                           : [](const Tensor& predictions, const Tensor& targets) {
                               return cuda::takes_cross_entropy(predictions, targets)
                                          ? cuda::cross_entropy(predictions, targets)
                                          : torch::cross_entropy_loss(predictions, targets);
                             };
  run_.device = options.device;
  run_.seed = options.seed;
  run_.name = options.name.empty() ? run_.model->kind() : std::move(options.name);
}

void Learner::start_at(std::int64_t epoch, std::int64_t batch, Mode mode) {
  first_epoch_ = epoch;
  first_batch_ = batch;
  first_mode_ = mode;
}

FitResult Learner::fit(std::int64_t epochs, const Callbacks& extra) {
  if (epochs < 1)
    throw Error(ErrorKind::usage, "fit", std::to_string(epochs) + " epochs, wanted 1 or more");
  // More than the file of the rows may say.
  if (epochs > kMaxCount / std::max<std::int64_t>(run_.training_batches(), 1)) {
    throw Error(ErrorKind::usage, "fit",
                std::to_string(epochs) + " epochs of " + std::to_string(run_.training_batches()) +
                    " batches, wanted 2^50 batches in all at most");
  }
  const std::int64_t first_epoch = std::exchange(first_epoch_, 0);
  std::int64_t first_batch = std::exchange(first_batch_, 0);
  bool trained = std::exchange(first_mode_, Mode::training) == Mode::evaluation;
  run_.epoch = first_epoch;
  run_.mode = trained ? Mode::evaluation : Mode::training;
  run_.batch_index = first_batch;
  run_.step = trained ? (first_epoch + 1) * run_.training_batches()
                      : first_epoch * run_.training_batches() + first_batch;
  return run_brackets(epochs, callbacks_, extra, [&] {
    for (run_.epoch = first_epoch; run_.epoch < epochs && !run_.cancelled(); ++run_.epoch) {
      if (!std::exchange(trained, false)) pass(Mode::training, std::exchange(first_batch, 0));
      if (run_.loaders.eval && !run_.cancelled()) pass(Mode::evaluation, 0);
    }
  });
}

FitResult Learner::evaluate(const Callbacks& extra) {
  if (!run_.loaders.eval)
    throw Error(ErrorKind::usage, "evaluate", "the learner has no evaluation batches");
  run_.epoch = run_.batch_index = 0;
  Callbacks own;
  for (const CallbackPtr& callback : callbacks_) {
    if (callback->stage() != Stage::save && callback->stage() != Stage::record)
      own.push_back(callback);
  }
  const Raised flag(run_.evaluation_only);
  return run_brackets(1, own, extra, [&] { pass(Mode::evaluation, 0); });
}

FitResult Learner::run_brackets(std::int64_t epochs, const Callbacks& own, const Callbacks& extra,
                                const std::function<void()>& body) {
  if (run_.open_) throw Error(ErrorKind::usage, "fit", "a fit of this learner is already running");
  run_.epochs = epochs;
  run_.cancel_.reset();
  run_.failed_ = false;
  active_ = own;
  active_.insert(active_.end(), extra.begin(), extra.end());
  std::stable_sort(active_.begin(), active_.end(), [](const CallbackPtr& a, const CallbackPtr& b) {
    return a->stage() < b->stage();
  });
  run_.callbacks.clear();
  for (const CallbackPtr& callback : active_) run_.callbacks.push_back(callback.get());
  const StepParts parts = run_.parts;  // callbacks may replace parts for this fit
  const bool was_training = run_.model->is_training();
  const auto restore = [&] {
    run_.parts = parts;
    run_.model->train(was_training);
    run_.batch = {};
    run_.predictions = run_.loss = Tensor();
    run_.forget_measured();
    run_.callbacks.clear();
    active_.clear();
  };
  try {
    bracket(kFit, body);
  } catch (...) {
    run_.open_.reset();
    restore();
    throw;
  }
  restore();
  if (!run_.cancel_) return {};
  FitResult result{run_.cancel_->status, run_.cancel_->reason};
  run_.cancel_.reset();
  return result;
}

void Learner::bracket(const Bracket& bracket, const std::function<void()>& body) {
  const auto outer = std::exchange(run_.open_, bracket.scope);
  std::size_t entered = 0;
  std::exception_ptr failure;
  try {
    for (; entered < active_.size() && !run_.cancelled(); ++entered)
      ((*active_[entered]).*bracket.before)(run_);
    if (!run_.cancelled()) body();
    // A narrower request ended with its own bracket.
    if (!run_.cancelled()) fire(bracket.after);
  } catch (...) {
    failure = std::current_exception();
    run_.failed_ = true;
  }
  while (entered > 0) {
    try {
      ((*active_[--entered]).*bracket.cleanup)(run_);
    } catch (...) {
      if (!failure) failure = std::current_exception();
      run_.failed_ = true;
    }
  }
  run_.open_ = outer;
  if (failure) std::rethrow_exception(failure);
  if (run_.cancel_ && run_.cancel_->scope == bracket.scope && bracket.scope != Scope::fit)
    run_.cancel_.reset();
}

bool Learner::fire(Event event) {
  for (const CallbackPtr& callback : active_) {
    ((*callback).*event)(run_);
    if (run_.cancelled()) return false;
  }
  return true;
}

void Learner::pass(Mode mode, std::int64_t first_batch) {
  run_.mode = mode;
  BatchSource& source = mode == Mode::training ? *run_.loaders.train : *run_.loaders.eval;
  run_.batches = source.batches();
  run_.batch_index = first_batch;
  run_.model->train(mode == Mode::training);
  const torch::AutoGradMode gradients(mode == Mode::training);
  bracket(kEpoch, [&] {
    for (; run_.batch_index < run_.batches && !run_.cancelled(); ++run_.batch_index) {
      count_steps();
      run_.batch = source.get(run_.epoch, run_.batch_index);
      run_.forget_measured();
      bool made = false;
      bracket(kBatch, [&] { made = one_batch(); });
      if (run_.cancelled() && !made) break;  // the fit ends before this batch
    }
    count_steps();
  });
}

void Learner::count_steps() {
  if (run_.training()) run_.step = run_.epoch * run_.batches + run_.batch_index;
}

bool Learner::one_batch() {
  run_.parts.predict(run_);
  if (!fire(&Callback::after_predict)) return false;
  run_.parts.get_loss(run_);
  if (!fire(&Callback::after_loss)) return false;
  if (!run_.training()) return true;
  run_.parts.backward(run_);
  if (!fire(&Callback::after_backward)) return false;
  run_.parts.step(run_);
  if (fire(&Callback::after_step)) run_.parts.zero_grad(run_);
  return true;
}

}  // namespace fatwood
