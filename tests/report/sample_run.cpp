#include "sample_run.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <sstream>

#include <nlohmann/json.hpp>

#include <fatwood/core/rows_io.h>
#include <fatwood/io/base64.h>

namespace fatwood::test {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kBins = 40;
constexpr int kSide = 28;
const std::vector<std::string> kClasses = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                           "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                           "Bag",         "Ankle boot"};

// Uniform in [0, 1) from a counter (splitmix64).
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  double uniform() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
  }
  double centred(double width) { return width * (uniform() + uniform() - 1); }

 private:
  std::uint64_t state_;
};

double cosine(double from, double to, double share) {
  return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
}

// One cycle: up over the first 30 %, then down to nothing.
double one_cycle(double share, double low, double high, double end) {
  return share < 0.3 ? cosine(low, high, share / 0.3) : cosine(high, end, (share - 0.3) / 0.7);
}

// A silhouette: shirts are wide and short, trousers have two legs, shoes lie low.
std::vector<std::uint8_t> picture(std::int64_t label, Noise& noise) {
  std::vector<std::uint8_t> pixels(kSide * kSide);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const int from_middle = std::abs(2 * x - kSide + 1);
      bool inside = y > 2 && y < 26;
      if (label == 1) {
        inside = inside && from_middle < 13 && (y < 8 || from_middle > 2);
      } else if (label == 3) {
        inside = inside && from_middle < 8 + y / 4;
      } else if (label == 5 || label == 7 || label == 9) {
        inside = y > (label == 9 ? 4 : 14) && y < 24 && (x > 14 || y > 13) && x > 2 && x < 26;
      } else if (label == 8) {
        inside = y > 9 && y < 25 && x > 3 && x < 24;
      } else {
        inside = inside && from_middle < (y < 12 || label > 1 ? 26 - y / 6 : 15);
      }
      if (inside)
        pixels[static_cast<std::size_t>(y) * kSide + static_cast<std::size_t>(x)] =
            static_cast<std::uint8_t>(120 + 100 * noise.uniform());
    }
  }
  return pixels;
}

Json sample(std::int64_t index, std::int64_t label, std::int64_t predicted, double probability,
            double loss, Noise& noise) {
  return {{"index", index},
          {"label", label},
          {"predicted", predicted},
          {"probability", probability},
          {"loss", loss},
          {"shape", {1, kSide, kSide}},
          {"pixels", base64(picture(label, noise))}};
}

Json predictions(Noise& noise) {
  Json json{{"classes", kClasses}};
  for (int truth = 0; truth < 10; ++truth) {
    std::vector<std::int64_t> row(10);
    std::int64_t left = 1000;
    for (const int other : {truth == 6 ? 0 : 6, (truth + 2) % 10, (truth + 5) % 10}) {
      if (other == truth) continue;
      const auto wrong = static_cast<std::int64_t>((truth == 6 ? 90 : 35) * noise.uniform());
      row[static_cast<std::size_t>(other)] += wrong;
      left -= wrong;
    }
    row[static_cast<std::size_t>(truth)] = left;
    json["confusion"].push_back(row);
  }
  for (int i = 0; i < 16; ++i) {
    const std::int64_t label = (i * 7 + 6) % 10;
    json["worst"].push_back(
        sample(7 + 13 * i, label, (label + 2) % 10, 0.99 - 0.004 * i, 9.1 - 0.2 * i, noise));
    json["best"].push_back(sample(5 + 11 * i, i % 10, i % 10, 1 - 1e-6 * i, 1e-6 * (i + 1), noise));
  }
  return json;
}

Json summary() {
  const std::int64_t channels[] = {1, 8, 16, 32, 64, 128, 10};
  const std::int64_t sides[] = {28, 28, 14, 7, 4, 2, 1};
  const std::int64_t params[] = {1848, 3664, 14496, 57664, 230016, 13750};
  const std::int64_t macs[] = {1404928, 1655808, 1650880, 1640192, 1673216, 46336};
  Json layers = Json::array();
  for (std::size_t i = 0; i < 6; ++i) {
    layers.push_back(
        {{"name", "layers." + std::to_string(i)},
         {"kind", "ResidualConvBlock"},
         {"input", {512, channels[i], sides[i], sides[i]}},
         {"output", {512, channels[i + 1], sides[i + 1], sides[i + 1]}},
         {"params", params[i]},
         {"macs", macs[i]},
         {"activation_bytes", 4 * 512 * channels[i + 1] * sides[i + 1] * sides[i + 1]}});
  }
  return {{"input", {512, 1, 28, 28}},
          {"layers", layers},
          {"params_total", 321438},
          {"macs_total", 8071360}};
}

Json lr_find() {
  Json json;
  double lr = 1e-5;
  for (int i = 0; i < 40; ++i, lr *= 1.3) {
    json["lr"].push_back(lr);
    const double rising = lr > 0.05 ? 40 * (lr - 0.05) : 0;
    json["loss"].push_back(2.4 - 1.7 / (1 + std::pow(0.004 / lr, 1.5)) + rising);
  }
  json["suggestions"] = {{"steepest", 0.0031}, {"valley", 0.0102}};
  return json;
}

StatsRow stats_row(std::int64_t step, std::int64_t epoch, bool histogram, Noise& noise) {
  StatsRow row{.step = step, .epoch = epoch};
  const double settled = std::exp(-static_cast<double>(step) / 30);
  for (int layer = 0; layer < 6; ++layer) {
    const double std = 1.1 + 0.12 * layer - 0.6 * settled * layer / 5 + noise.centred(0.06);
    row.mean.push_back(0.15 - 0.03 * layer + 0.3 * settled + noise.centred(0.04));
    row.std.push_back(std);
    if (!histogram) continue;
    std::vector<std::int64_t> counts(kBins);
    const double elements = 512.0 * (layer < 5 ? 6272 >> layer : 10);
    for (int bin = 0; bin < kBins; ++bin) {
      const double z = (bin + 0.5) * 0.25 / std;
      counts[static_cast<std::size_t>(bin)] = static_cast<std::int64_t>(
          elements * 0.2 * std::exp(-z * z / 2) * (1 + noise.centred(0.1)));
    }
    row.hist.push_back(counts);
  }
  return row;
}

}  // namespace

void write_sample_run(const std::filesystem::path& folder, const SampleRun& options) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  Noise noise(options.seed);

  const Json args{
      {"format", kRunFormat},
      {"fatwood", "0.1.0"},
      {"libtorch", "2.13.0"},
      {"machine",
       {{"cpu", "Sample CPU @ 2.60GHz"}, {"cores", 2}, {"threads", 2}, {"isa", "avx512"}}},
      {"timing", {{"started", "2026-11-23T20:00:00Z"}}},
      {"options",
       {{"model", options.model},
        {"epochs", options.epochs},
        {"lr", options.lr},
        {"batch-size", 512},
        {"seed", options.seed},
        {"opt", "adamw"},
        {"sched", "onecycle"},
        {"output", folder.filename().string()}}},
      {"data",
       {{"name", "FashionMNIST"},
        {"train", 60000},
        {"eval", 10000},
        {"mean", 0.286},
        {"std", 0.353},
        {"classes", kClasses}}}};
  put_text(folder / "args.json", args.dump(1) + "\n");

  std::ostringstream rows;
  RunRow run{.model = options.model,
             .epochs = options.epochs,
             .batches = options.batches,
             .eval_batches = 20,
             .batch_size = 512,
             .seed = options.seed,
             .metrics = {{"accuracy", "MulticlassAccuracy", "fraction", true},
                         {"loss", "loss", "nats", false}}};
  for (int i = 0; i < 6; ++i)
    run.layers.push_back({"layers." + std::to_string(i), "ResidualConvBlock"});
  rows << to_json_line(run) << '\n';

  const std::int64_t total = options.epochs * options.batches;
  const std::int64_t stop = options.stop_at < 0 ? total : std::min(options.stop_at, total);
  for (std::int64_t step = 0; step < stop; ++step) {
    const std::int64_t epoch = step / options.batches;
    const double share = static_cast<double>(step) / static_cast<double>(total - 1);
    const double loss = 0.2 + 2.3 * std::exp(-static_cast<double>(step) / 35) + 0.25 * (1 - share) +
                        noise.centred(0.08);
    const double elapsed_s = 0.078 * static_cast<double>(step + 1);
    rows << to_json_line(
                BatchRow{.step = step,
                         .epoch = epoch,
                         .batch = step % options.batches,
                         .size = 512,
                         .loss = loss,
                         .lr = one_cycle(share, options.lr / 25, options.lr, options.lr / 250000),
                         .momentum = one_cycle(share, 0.95, 0.85, 0.95),
                         .elapsed_s = elapsed_s})
         << '\n';
    rows << to_json_line(stats_row(step, epoch, step % options.hist_period == 0, noise)) << '\n';
    if ((step + 1) % options.batches != 0) continue;
    for (const Mode mode : {Mode::training, Mode::evaluation}) {
      const double gap = mode == Mode::training ? 0 : 0.02;
      const double error =
          0.07 + 0.12 * std::exp(-static_cast<double>(epoch)) + gap / 2 + noise.centred(0.004);
      rows << to_json_line(EpochRow{.mode = mode,
                                    .epoch = epoch,
                                    .step = step + 1,
                                    .size = mode == Mode::training ? 60000 : 10000,
                                    .metrics = {{"accuracy", 1 - error}, {"loss", 2.8 * error}},
                                    .lr = options.lr * (1 - share),
                                    .duration_s = mode == Mode::training ? 9.1 : 0.9,
                                    .elapsed_s = elapsed_s})
           << '\n';
    }
  }
  if (options.end_record) {
    const bool whole = stop == total;
    rows << to_json_line(EndRow{.status = whole ? "completed" : "interrupted",
                                .reason = whole ? "" : "signal 2",
                                .step = stop,
                                .elapsed_s = 0.08 * static_cast<double>(stop)})
         << '\n';
  }
  put_text(folder / "rows.jsonl", rows.str());

  if (!options.artefacts) return;
  put_text(folder / "summary.json", summary().dump());
  put_text(folder / "predictions.json", predictions(noise).dump());
  put_text(folder / "lr_find.json", lr_find().dump());
}

void put_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace fatwood::test
