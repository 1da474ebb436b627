#include <cmath>
#include <limits>

#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/metrics.h>

namespace fatwood {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

const Tensor& find_state(const NamedTensors& state, const std::string& key, at::IntArrayRef sizes) {
  for (const auto& [name, value] : state) {
    if (name != key) continue;
    if (value.sizes() == sizes && !value.is_complex()) return value;
    throw Error(ErrorKind::model, "load_metrics",
                key + " is " + shape_text(value.sizes()) + " of " +
                    std::string(value.dtype().name()) + ", wanted " + shape_text(sizes) +
                    " real numbers");
  }
  throw Error(ErrorKind::model, "load_metrics", key + " is missing");
}

// Counts in a confusion matrix, row = true class, so that every average comes from the same
// numbers.
class Accuracy : public Metric {
 public:
  Accuracy(std::int64_t classes, Average average) : classes_(classes), average_(average) {}

  MetricInfo info() const override {
    const bool macro = average_ == Average::macro;
    return {macro ? "accuracy" : "accuracy_micro",
            macro ? "MulticlassAccuracy" : "MulticlassAccuracy (micro)", "fraction", true};
  }
  void reset() override { counts_ = Tensor(); }
  void update(const Tensor& predictions, const Tensor& targets, double) override {
    const torch::NoGradGuard no_grad;
    const Tensor cells = targets * classes_ + predictions.argmax(1);
    const Tensor counts = count(cells).reshape({classes_, classes_});
    counts_ = counts_.defined() ? counts_.to(counts.device()).add_(counts) : counts;
  }
  double value() const override {
    if (!counts_.defined()) return kNone;
    const Tensor counts = counts_.to(torch::kCPU, torch::kDouble);
    const Tensor right = counts.diag();
    if (average_ == Average::micro) return (right.sum() / counts.sum()).item<double>();
    const Tensor truth = counts.sum(1);
    const Tensor occurs =
        (truth + counts.sum(0)) > 0;  // as torchmetrics: in the targets or predicted
    const Tensor recall = right / truth.clamp_min(1);
    return (recall.sum() / occurs.sum()).item<double>();
  }
  NamedTensors state() const override {
    if (!counts_.defined()) return {};
    return {{"counts", counts_}};
  }
  void load_state(const NamedTensors& state) override {
    counts_ = state.empty()
                  ? Tensor()
                  : find_state(state, "counts", {classes_, classes_}).to(torch::kLong, false, true);
  }

 private:
  Tensor count(const Tensor& cells) const {
    const std::int64_t size = classes_ * classes_;
    // On a GPU bincount waits for the device, to see the largest entry; small tables do without.
    if (cells.is_cuda() && size * cells.numel() <= (std::int64_t{1} << 22))
      return (torch::arange(size, cells.options()).unsqueeze(1) == cells).sum(1);
    return torch::bincount(cells, /*weights=*/{}, size);
  }

  std::int64_t classes_;
  Average average_;
  Tensor counts_;
};

// A sum over samples divided by their number.
class SampleMean : public Metric {
 public:
  void reset() override { sum_ = samples_ = 0; }
  double value() const override { return samples_ > 0 ? sum_ / samples_ : kNone; }
  NamedTensors state() const override {
    return {{"sum", torch::tensor({sum_, samples_}, torch::kDouble)}};
  }
  void load_state(const NamedTensors& state) override {
    const Tensor sum = find_state(state, "sum", {2});
    sum_ = sum[0].item<double>();
    samples_ = sum[1].item<double>();
  }

 protected:
  void add(double sum, std::int64_t samples) {
    sum_ += sum;
    samples_ += static_cast<double>(samples);
  }

 private:
  double sum_ = 0, samples_ = 0;
};

class TopK : public SampleMean {
 public:
  explicit TopK(std::int64_t k) : k_(k) {}
  MetricInfo info() const override {
    return {"top" + std::to_string(k_), "Top-" + std::to_string(k_) + " accuracy", "fraction",
            true};
  }
  void update(const Tensor& predictions, const Tensor& targets, double) override {
    const torch::NoGradGuard no_grad;
    const Tensor best = std::get<1>(predictions.topk(std::min(k_, predictions.size(1)), 1));
    add((best == targets.unsqueeze(1)).any(1).sum().item<double>(), targets.size(0));
  }

 private:
  std::int64_t k_;
};

class MeanLoss : public SampleMean {
 public:
  MetricInfo info() const override { return {"loss", "loss", "nats", false}; }
  void update(const Tensor&, const Tensor& targets, double loss) override {
    add(loss * static_cast<double>(targets.size(0)), targets.size(0));
  }
};

}  // namespace

MetricPtr accuracy(std::int64_t classes, Average average) {
  if (classes < 1)
    throw Error(ErrorKind::usage, "accuracy",
                std::to_string(classes) + " classes, wanted 1 or more");
  return std::make_shared<Accuracy>(classes, average);
}

MetricPtr top_k(std::int64_t k) {
  if (k < 1)
    throw Error(ErrorKind::usage, "top_k", "k " + std::to_string(k) + ", wanted 1 or more");
  return std::make_shared<TopK>(k);
}

MetricPtr mean_loss() {
  return std::make_shared<MeanLoss>();
}

std::shared_ptr<Metrics> Metrics::usual(std::int64_t classes) {
  return std::make_shared<Metrics>(std::vector<MetricPtr>{accuracy(classes), mean_loss()});
}

void Metrics::before_fit(Run& run) {
  run.metrics.clear();
  for (const MetricPtr& metric : metrics_) run.metrics.push_back(metric->info());
}

void Metrics::before_epoch(Run& run) {
  run.epoch_metrics.clear();
  in_training_pass_ = run.training();
  // What was loaded belongs to the middle of a pass.
  if (std::exchange(resumed_, false) && run.batch_index > 0) return;
  for (const MetricPtr& metric : metrics_) metric->reset();
}

void Metrics::after_batch(Run& run) {
  for (const MetricPtr& metric : metrics_) {
    metric->update(run.predictions.detach(), run.batch.y, run.loss_value());
  }
}

void Metrics::after_epoch(Run& run) {
  run.epoch_metrics.clear();
  in_training_pass_ = false;
  for (const MetricPtr& metric : metrics_)
    run.epoch_metrics.emplace_back(metric->info().name, metric->value());
}

NamedTensors Metrics::tensor_state() const {
  NamedTensors state;
  if (!in_training_pass_) return state;
  for (const MetricPtr& metric : metrics_) {
    for (const auto& [key, value] : metric->state())
      state.emplace_back(metric->info().name + "." + key, value);
  }
  return state;
}

void Metrics::load_tensor_state(const NamedTensors& state) {
  if (state.empty()) return;
  for (const MetricPtr& metric : metrics_) {
    const std::string prefix = metric->info().name + ".";
    NamedTensors own;
    for (const auto& [key, value] : state) {
      if (key.starts_with(prefix)) own.emplace_back(key.substr(prefix.size()), value);
    }
    metric->load_state(own);
  }
  resumed_ = true;
}

}  // namespace fatwood
