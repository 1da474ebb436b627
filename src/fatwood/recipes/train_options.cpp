// The options of a training run: what can be wrong with them, and their form in args.json.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/text.h>
#include <fatwood/engine/engine.h>
#include <fatwood/io/bytes.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/recipes/train_resume.h>
#include <fatwood/recipes/train_run.h>

namespace fatwood {
namespace {

constexpr std::int64_t kMost = 1'000'000;  // of anything counted: products stay far from overflow

/// Refuses values of options in the name of one operation.
class Options {
 public:
  explicit Options(std::string_view operation) : operation_(operation) {}

  [[noreturn]] void fail(const std::string& option, const std::string& found,
                         const std::string& wanted) const {
    throw Error(ErrorKind::usage, operation_, "--" + option + " " + found + ", wanted " + wanted);
  }

  void want_count(const char* option, std::int64_t value, std::int64_t least) const {
    if (value < least) fail(option, std::to_string(value), std::to_string(least) + " or more");
  }

  void want_at_most(const char* option, std::int64_t value, std::int64_t most) const {
    if (value > most) fail(option, std::to_string(value), std::to_string(most) + " or less");
  }

  void want_positive(const char* option, double value) const {
    if (!(std::isfinite(value) && value > 0))
      fail(option, std::to_string(value), "a finite number above 0");
  }

  void want_at_least_zero(const char* option, double value) const {
    if (!(std::isfinite(value) && value >= 0))
      fail(option, std::to_string(value), "a finite number of 0 or more");
  }

  void want_below_one(const char* option, double value) const {
    if (!(value >= 0 && value < 1)) fail(option, std::to_string(value), "0 or more and below 1");
  }

  void want_one_of(const char* option, const std::string& value,
                   std::initializer_list<const char*> known) const {
    std::string list;
    for (const char* name : known) {
      if (value == name) return;
      if (!list.empty()) list += ", ";
      list += name;
    }
    fail(option, "\"" + value + "\"", "one of " + list);
  }

 private:
  std::string operation_;
};

const char* name_of(StatsLevel level) {
  switch (level) {
    case StatsLevel::off:
      return "off";
    case StatsLevel::moments:
      return "moments";
    case StatsLevel::all:
      return "all";
  }
  return "off";
}

}  // namespace

void check(const TrainRunOptions& options, std::string_view operation) {
  const Options o(operation);
  find_model(options.model);
  o.want_count("epochs", options.epochs, 1);
  o.want_count("batch-size", options.batch_size, 1);
  o.want_count("grad-accum-steps", options.grad_accum_steps, 1);
  o.want_count("threads", options.threads, 0);
  o.want_count("patience", options.patience, -1);
  o.want_at_most("epochs", options.epochs, kMost);
  o.want_at_most("batch-size", options.batch_size, kMost);
  o.want_at_most("grad-accum-steps", options.grad_accum_steps, kMost);
  o.want_at_most("threads", options.threads, 1024);
  for (const std::int64_t features : options.nfs) {
    o.want_count("nfs", features, 1);
    o.want_at_most("nfs", features, kMost);
  }
  o.want_positive("lr", options.lr);
  o.want_at_least_zero("weight-decay", options.weight_decay);
  o.want_at_least_zero("clip-grad", options.clip_grad);
  o.want_at_least_zero("warmup-epochs", options.warmup_epochs);
  if (options.warmup_epochs > static_cast<double>(options.epochs)) {
    o.fail("warmup-epochs", std::to_string(options.warmup_epochs),
           "at most --epochs, " + std::to_string(options.epochs));
  }
  o.want_below_one("momentum", options.momentum);
  o.want_below_one("model-ema-decay", options.model_ema_decay);
  o.want_below_one("holdout", options.holdout);
  o.want_one_of("init", options.init, {"default", "lsuv"});
  if (options.init != "default" && options.initial_checkpoint)
    o.fail("init", options.init + " with --initial-checkpoint", "one of the two");
  o.want_one_of("opt", options.opt, {"adamw", "sgd"});
  o.want_one_of("sched", options.sched, {"onecycle", "cosine", "step", "exponential", "constant"});
  precision_named(options.amp, engine_named(options.engine));
  o.want_one_of("device", options.device, {"auto", "cpu", "cuda"});
  o.want_count("checkpoint-steps", options.checkpoint_steps, 0);
  o.want_at_least_zero("checkpoint-minutes", options.checkpoint_minutes);
  o.want_count("keep", options.keep, 2);
  o.want_one_of("on-diverge", options.on_diverge, {"stop", "rewind"});
}

torch::Device choose_device(const std::string& name) {
  const bool cuda = torch::cuda::is_available();
  if (name == "cuda" && !cuda) {
    throw Error(ErrorKind::usage, "device",
                "cuda, but this LibTorch and machine offer none; wanted auto or cpu");
  }
  if (name != "auto" && name != "cpu" && name != "cuda") {
    throw Error(ErrorKind::usage, "device", "\"" + name + "\", wanted auto, cpu or cuda");
  }
  return name == "cuda" || (name == "auto" && cuda) ? torch::kCUDA : torch::kCPU;
}

namespace {

// JSON is UTF-8, and a resumed run finds its files by what args.json says.
std::string recordable(const char* option, const std::string& path) {
  try {
    static_cast<void>(nlohmann::json(path).dump());
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::usage, "options",
                "--" + std::string(option) + ": found " + printable(path) +
                    ", which is no UTF-8; wanted a path that args.json can hold");
  }
  return path;
}

}  // namespace

nlohmann::json to_json(const TrainRunOptions& options) {
  nlohmann::json json{{"model", options.model},
                      {"init", options.init},
                      {"epochs", options.epochs},
                      {"lr", options.lr},
                      {"batch-size", options.batch_size},
                      {"seed", options.seed},
                      {"opt", options.opt},
                      {"sched", options.sched},
                      {"warmup-epochs", options.warmup_epochs},
                      {"weight-decay", options.weight_decay},
                      {"momentum", options.momentum},
                      {"decay-norms", options.decay_norms},
                      {"clip-grad", options.clip_grad},
                      {"grad-accum-steps", options.grad_accum_steps},
                      {"model-ema-decay", options.model_ema_decay},
                      {"patience", options.patience},
                      {"engine", options.engine},
                      {"amp", options.amp},
                      {"device", options.device},
                      {"threads", options.threads},
                      {"shuffle", options.shuffle},
                      {"holdout", options.holdout},
                      {"deterministic", options.deterministic},
                      {"stats", name_of(options.stats)},
                      {"checkpoint-steps", options.checkpoint_steps},
                      {"checkpoint-minutes", options.checkpoint_minutes},
                      {"keep", options.keep},
                      {"on-diverge", options.on_diverge}};
  if (!options.nfs.empty()) json["nfs"] = options.nfs;
  if (!options.tuning.empty()) json["tuning"] = recordable("tuning", options.tuning);
  if (options.data) json["data"] = recordable("data", options.data->string());
  if (options.initial_checkpoint) {
    json["initial-checkpoint"] =
        recordable("initial-checkpoint", options.initial_checkpoint->string());
  }
  return json;
}

namespace {

[[noreturn]] void refuse_value(const std::string& name, const nlohmann::json& found,
                               const std::string& wanted) {
  throw Error(ErrorKind::data, "train_options",
              "options" + (name.empty() ? "" : "." + name) + ": found " +
                  one_line(json_text(found), 40) + ", wanted " + wanted);
}

// Of exactly the type: the library's own conversions take true for 1 and cut what does not fit.
void read_value(const char* name, const nlohmann::json& json, std::string& value) {
  if (!json.is_string()) refuse_value(name, json, "text");
  value = json.get<std::string>();
}

void read_value(const char* name, const nlohmann::json& json, bool& value) {
  if (!json.is_boolean()) refuse_value(name, json, "true or false");
  value = json.get<bool>();
}

void read_value(const char* name, const nlohmann::json& json, double& value) {
  if (!json.is_number()) refuse_value(name, json, "a number");
  value = json.get<double>();
}

template <std::integral Integer>
void read_value(const char* name, const nlohmann::json& json, Integer& value) {
  value = integer_of<Integer>(json, "train_options: options." + std::string(name));
}

template <typename Value>
void read_value(const char* name, const nlohmann::json& json, std::vector<Value>& values) {
  if (!json.is_array()) refuse_value(name, json, "a list");
  values.clear();
  for (const nlohmann::json& each : json) read_value(name, each, values.emplace_back());
}

}  // namespace

TrainRunOptions train_options_from_json(const nlohmann::json& json) {
  TrainRunOptions options;
  if (!json.is_object()) refuse_value("", json, "an object");
  const auto read = [&json](const char* name, auto& value) {
    if (json.contains(name)) read_value(name, json[name], value);
  };
  const auto read_path = [&read](const char* name, std::optional<std::filesystem::path>& path) {
    std::string text;
    read(name, text);
    if (!text.empty()) path = text;
  };
  read("model", options.model);
  read("init", options.init);
  read("nfs", options.nfs);
  read("epochs", options.epochs);
  read("lr", options.lr);
  read("batch-size", options.batch_size);
  read("seed", options.seed);
  read("opt", options.opt);
  read("sched", options.sched);
  read("warmup-epochs", options.warmup_epochs);
  read("weight-decay", options.weight_decay);
  read("momentum", options.momentum);
  read("decay-norms", options.decay_norms);
  read("clip-grad", options.clip_grad);
  read("grad-accum-steps", options.grad_accum_steps);
  read("model-ema-decay", options.model_ema_decay);
  read("patience", options.patience);
  read("engine", options.engine);
  read("amp", options.amp);
  read("tuning", options.tuning);
  read("device", options.device);
  read("threads", options.threads);
  read("shuffle", options.shuffle);
  read("holdout", options.holdout);
  read("deterministic", options.deterministic);
  read("checkpoint-steps", options.checkpoint_steps);
  read("checkpoint-minutes", options.checkpoint_minutes);
  read("keep", options.keep);
  read("on-diverge", options.on_diverge);
  read_path("data", options.data);
  read_path("initial-checkpoint", options.initial_checkpoint);
  std::string stats(name_of(options.stats));
  read("stats", stats);
  for (const StatsLevel level : {StatsLevel::off, StatsLevel::moments, StatsLevel::all}) {
    if (stats == name_of(level)) options.stats = level;
  }
  return options;
}

}  // namespace fatwood
