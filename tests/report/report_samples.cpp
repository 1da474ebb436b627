// Writes sample runs, their reports and their plots' specifications into a folder, for the tests in
// Python:  report_samples FOLDER
#include <chrono>
#include <fstream>
#include <iostream>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/report/html.h>
#include <fatwood/report/plots.h>
#include <fatwood/report/tensorboard.h>

#include "sample_run.h"

int main(int argc, char** argv) try {
  using namespace fatwood;
  if (argc != 2) throw Error(ErrorKind::usage, "report_samples", "wanted FOLDER");
  const std::filesystem::path folder(argv[1]);
  test::write_sample_run(folder / "plain");
  test::write_sample_run(folder / "second", {.seed = 43});
  test::write_sample_run(folder / "faster", {.seed = 42, .lr = 0.02});
  test::write_sample_run(folder / "stopped", {.stop_at = 94, .artefacts = false});
  test::write_sample_run(folder / "killed",
                         {.stop_at = 130, .end_record = false, .artefacts = false});
  test::write_sample_run(folder / "long", {.epochs = 40, .artefacts = false});
  test::write_sample_run(folder / "hostile",
                         {.model = "<script>alert(1)</script>\"'&</title>", .artefacts = false});

  const auto read = [&](std::initializer_list<const char*> names) {
    std::vector<RunRecord> runs;
    for (const char* name : names) runs.push_back(read_run(folder / name));
    return runs;
  };
  for (const char* name : {"plain", "stopped", "killed", "long", "hostile"}) {
    const auto start = std::chrono::steady_clock::now();
    const std::string html = html_report(read({name}));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    test::put_text(folder / (std::string(name) + ".html"), html);
    std::cout << name << ' ' << html.size() << " bytes, " << took.count() << " s\n";
  }
  test::put_text(folder / "several.html",
                 html_report(read({"plain", "second", "faster", "stopped"})));

  const std::vector<RunRecord> one = read({"plain"});
  write_tensorboard(one.front(), folder / "plain-events", 1.7e9);
  {
    // Four steps an epoch; the second epoch diverges at its third step and is trained again.
    TensorBoardSink sink(folder / "rewound-events");
    const auto train = [&sink](std::int64_t from, std::int64_t to, double loss) {
      for (std::int64_t step = from; step < to; ++step)
        sink.batch({.step = step, .loss = loss, .lr = 0.1});
      if (to % 4 == 0)
        sink.epoch({.mode = Mode::evaluation, .step = to, .metrics = {{"loss", loss}}});
    };
    train(0, 4, 1.0);
    train(4, 7, 100.0);
    sink.event({.step = 4, .what = kRewindEvent, .reason = "diverged"});
    train(4, 8, 0.5);
  }
  for (const PlotKind& kind : plot_kinds()) {
    test::put_text(folder / (std::string(kind.name) + ".vl.json"), kind.make(one).dump());
    test::put_text(folder / (std::string(kind.name) + ".html"),
                   html_plot(std::string(kind.title), kind.make(one).dump()));
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
