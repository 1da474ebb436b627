#include <algorithm>
#include <list>
#include <optional>

#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/cuda.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/graph_plan.h>
#include <fatwood/train/graphed_steps.h>

namespace fatwood {
namespace {

constexpr int kPassesBefore = 2;        // batches that run as they are before one is recorded
constexpr std::size_t kMostPlans = 16;  // full and last batches, with histograms and without, …

}  // namespace

struct GraphedSteps::Steps : std::enable_shared_from_this<Steps> {
  struct Predict {
    std::shared_ptr<Steps> steps;
    void operator()(Run& run) const { steps->predict(run); }
  };
  struct GetLoss {
    std::shared_ptr<Steps> steps;
    void operator()(Run& run) const { steps->get_loss(run); }
  };
  struct Backward {
    std::shared_ptr<Steps> steps;
    void operator()(Run& run) const { steps->backward(run); }
  };

  /// cuDNN measures its algorithms while one lives.
  class MeasuringAlgorithms {
   public:
    MeasuringAlgorithms() { at::globalContext().setBenchmarkCuDNN(true); }
    ~MeasuringAlgorithms() { at::globalContext().setBenchmarkCuDNN(before_); }
    MeasuringAlgorithms(const MeasuringAlgorithms&) = delete;
    MeasuringAlgorithms& operator=(const MeasuringAlgorithms&) = delete;

   private:
    bool before_ = at::globalContext().benchmarkCuDNN();
  };

  Options options;
  StepParts plain;  // as the fit found them
  std::optional<cuda::OwnStream> stream{std::in_place};
  std::unique_ptr<cuda::StatisticsScratch> scratch;
  std::vector<LayerPtr> layers;  // of the model, and of theirs
  std::vector<Tensor> parameters;
  std::list<GraphPlan> plans;    // the latest used first
  GraphPlan* current = nullptr;  // of the batch in hand, where it was replayed
  std::int64_t replayed = 0;
  std::optional<MeasuringAlgorithms> measuring;

  void install(Run& run) {
    plain = run.parts;
    add_layers(run.model);
    for (const auto& module : run.model->modules()) {
      if (const auto layer = std::dynamic_pointer_cast<Layer>(module)) add_layers(layer);
    }
    for (const Tensor& parameter : run.model->parameters()) {
      if (parameter.requires_grad()) parameters.push_back(parameter);
    }
    run.parts.predict = Predict{shared_from_this()};
    run.parts.get_loss = GetLoss{shared_from_this()};
    run.parts.backward = Backward{shared_from_this()};
    if (options.measure_algorithms && !at::globalContext().deterministicAlgorithms())
      measuring.emplace();
  }

  // A network may keep layers without registering them, and shows them in layers().
  void add_layers(const LayerPtr& layer) {
    if (std::find(layers.begin(), layers.end(), layer) != layers.end()) return;
    layers.push_back(layer);
    for (const NamedLayer& part : layer->layers()) add_layers(part.layer);
  }

  void finish() {
    current = nullptr;
    plans.clear();
    stream.reset();
    measuring.reset();
  }

  bool recordable(const Run& run, const GraphKey& key) const {
    if (std::find(key.taps.begin(), key.taps.end(), kTensors) != key.taps.end()) return false;
    if (!run.parts.get_loss.target<GetLoss>()) return false;
    if (!run.training()) return true;
    if (!run.parts.backward.target<Backward>()) return false;
    // What a backward pass would be added to.
    return std::none_of(parameters.begin(), parameters.end(),
                        [](const Tensor& parameter) { return parameter.grad().defined(); });
  }

  GraphKey key_of(const Run& run) const {
    GraphKey key{run.mode, shape_of(run.batch.x), shape_of(run.batch.y), {}};
    key.taps.reserve(layers.size());
    for (const auto& layer : layers) key.taps.push_back(wish_of(*layer));
    return key;
  }

  GraphPlan& plan_for(const GraphKey& key) {
    const auto found = std::find_if(plans.begin(), plans.end(),
                                    [&](const GraphPlan& plan) { return plan.key == key; });
    if (found != plans.end()) {
      plans.splice(plans.begin(), plans, found);
    } else {
      if (plans.size() >= kMostPlans) plans.pop_back();
      plans.emplace_front().key = key;
    }
    return plans.front();
  }

  void predict_plainly(Run& run) {
    const Autocast autocast(options.bf16);
    const cuda::OwnKernels own_kernels;
    plain.predict(run);
    if (options.bf16) run.predictions = run.predictions.to(torch::kFloat);
  }

  void get_loss_plainly(Run& run) {
    const cuda::OwnKernels own_kernels;
    plain.get_loss(run);
  }

  void predict(Run& run) {
    current = nullptr;
    const GraphKey key = key_of(run);
    if (!recordable(run, key)) return predict_plainly(run);
    GraphPlan& plan = plan_for(key);
    if (plan.refused || plan.passes < kPassesBefore) {
      if (++plan.passes == 1) {
        plan.input = run.batch;
      } else {
        plan.sources_own &= same_memory(plan, run.batch);
      }
      return predict_plainly(run);
    }
    if (plan.graph && plan.sources_own && !same_memory(plan, run.batch)) {
      plan.graph.reset();  // the source's memory is another now
      plan.sources_own = false;
    }
    if (!plan.graph && !record(run, plan)) return predict_plainly(run);
    replay(run, plan);
  }

  static bool same_memory(const GraphPlan& plan, const Batch& batch) {
    return plan.input.x.data_ptr() == batch.x.data_ptr() &&
           plan.input.y.data_ptr() == batch.y.data_ptr();
  }

  bool record(Run& run, GraphPlan& plan) {
    if (!plan.sources_own)
      plan.input = {torch::empty_like(run.batch.x), torch::empty_like(run.batch.y)};
    if (!scratch) scratch = std::make_unique<cuda::StatisticsScratch>();
    const auto measured = std::count_if(plan.key.taps.begin(), plan.key.taps.end(), [](char wish) {
      return wish == kMoments || wish == kHistogram;
    });
    plan.report = torch::zeros({kFirstTapEntry + cuda::kStatistics * measured},
                               torch::TensorOptions().dtype(torch::kDouble).device(run.device));
    plan.taps.clear();
    plan.gradients.clear();
    const Batch batch = std::exchange(run.batch, plan.input);
    std::string refusal;
    try {
      plan.graph = std::make_unique<cuda::Graph>([&] { work(run, plan); });
    } catch (const c10::Error& error) {
      refusal = error.what_without_backtrace();
    } catch (const Error& error) {
      refusal = error.what();
    }
    run.batch = batch;
    for (const Tensor& parameter : parameters) parameter.mutable_grad() = Tensor();
    if (refusal.empty()) return true;
    plan.graph.reset();
    plan.refused = true;
    run.predictions = run.loss = Tensor();
    if (options.say)
      options.say("batches of " + std::to_string(run.batch.size()) +
                  " images run without a CUDA graph: " + refusal);
    return false;
  }

  // What is recorded.
  void work(Run& run, GraphPlan& plan) {
    {
      MeasuringTaps measuring(plan, layers, *scratch);
      predict_plainly(run);
    }
    get_loss_plainly(run);
    plan.predictions = run.predictions;
    plan.loss = run.loss;
    if (run.training()) {
      plain.backward(run);
      for (const Tensor& parameter : parameters) plan.gradients.push_back(parameter.grad());
    }
    const torch::NoGradGuard no_grad;
    plan.report[0].copy_(run.loss.detach());
    std::vector<Tensor> defined;
    for (const Tensor& gradient : plan.gradients) {
      if (gradient.defined()) defined.push_back(gradient);
    }
    if (!defined.empty()) plan.report[1].copy_(torch::stack(torch::_foreach_norm(defined)).sum());
  }

  void replay(Run& run, GraphPlan& plan) {
    if (!plan.sources_own) {
      plan.input.x.copy_(run.batch.x);
      plan.input.y.copy_(run.batch.y);
    }
    plan.graph->replay();
    ++replayed;
    current = &plan;
    run.predictions = plan.predictions;
    const auto host = std::make_shared<Tensor>();
    const auto read = [report = plan.report, host]() -> const double* {
      if (!host->defined()) *host = report.to(torch::kCPU);
      return host->const_data_ptr<double>();
    };
    run.measured = [read] {
      const double* values = read();
      return Run::Measured{.loss = values[0], .gradient_norms = values[1]};
    };
    for (const ServedLayer& served : plan.taps) {
      std::optional<ActivationStatistics> statistics;
      if (served.wish == kMoments || served.wish == kHistogram)
        statistics = statistics_of(read() + served.entry, served.wish == kHistogram);
      served.layer->serve_taps({}, {}, std::move(statistics));
    }
  }

  void get_loss(Run& run) {
    if (!current) return get_loss_plainly(run);
    if (!run.predictions.is_same(current->predictions))
      throw Error(ErrorKind::usage, "graphed_steps",
                  "a callback replaced the predictions, wanted them as they are: --engine torch "
                  "runs such a fit");
    run.loss = current->loss;
  }

  void backward(Run& run) {
    if (!current) return plain.backward(run);
    if (!run.loss.is_same(current->loss))
      throw Error(ErrorKind::usage, "graphed_steps",
                  "a callback replaced the loss, wanted it as it is: --engine torch runs such a "
                  "fit");
    for (std::size_t i = 0; i < parameters.size(); ++i)
      parameters[i].mutable_grad() = current->gradients[i];
  }
};

GraphedSteps::GraphedSteps(Options options) : options_(std::move(options)) {}
GraphedSteps::~GraphedSteps() = default;

void GraphedSteps::before_fit(Run& run) {
  if (!run.device.is_cuda() || !cuda::built()) {
    steps_.reset();
    return;
  }
  steps_ = std::make_shared<Steps>();
  steps_->options = options_;
  steps_->install(run);
}

void GraphedSteps::cleanup_fit(Run& run) {
  if (!steps_) return;
  run.predictions = run.loss = Tensor();
  steps_->finish();
}

std::int64_t GraphedSteps::replayed() const {
  return steps_ ? steps_->replayed : 0;
}

void use_channels_last(torch::nn::Module& model) {
  const torch::NoGradGuard no_grad;
  for (Tensor& parameter : model.parameters()) {
    if (parameter.dim() == 4)
      parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

}  // namespace fatwood
