#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>

#include <fatwood/core/error.h>
#include <fatwood/engine/engine.h>
#include <fatwood/io/file.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>
#include <fatwood/recipes/tune_run.h>
#include <fatwood/recipes/tuning_file.h>

#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

namespace fs = std::filesystem;

kernels::TuningEntry entry_for(std::int64_t batch) {
  kernels::TuningEntry entry;
  entry.key = tuning_key(kernels::ConvSpec{}, {1, 8, 8}, batch, kernels::Isa::portable, 1,
                         kernels::Precision::f32);
  entry.kernels_ms = 1;
  entry.torch_ms = 2;
  return entry;
}

class TuningFile : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("FATWOOD_TUNING");
    ::setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
  }
  void TearDown() override {
    ::setenv("FATWOOD_TUNING", "none", 1);
    ::unsetenv("XDG_CACHE_HOME");
  }
  TemporaryFolder folder_;
};

TEST_F(TuningFile, the_option_comes_before_the_variable_before_the_cache_folder) {
  EXPECT_EQ(tuning_place("").path, folder_ / "fatwood/tuning.json");
  EXPECT_FALSE(tuning_place("").named);
  ::setenv("FATWOOD_TUNING", "/e/t.json", 1);
  EXPECT_EQ(tuning_place("").path, "/e/t.json");
  EXPECT_TRUE(tuning_place("").named);
  EXPECT_EQ(tuning_place("/o/t.json").path, "/o/t.json");
  EXPECT_EQ(tuning_place("none").path, "");
  ::setenv("FATWOOD_TUNING", "none", 1);
  EXPECT_EQ(tuning_place("").path, "");
  EXPECT_EQ(load_tuning(""), nullptr);
}

TEST_F(TuningFile, only_a_file_that_nobody_named_may_be_missing) {
  EXPECT_EQ(load_tuning(""), nullptr);
  const std::string missing = folder_ / "missing.json";
  EXPECT_THAT(thrown_by([&] { load_tuning(missing); }), error_with(ErrorKind::io, missing));
  ::setenv("FATWOOD_TUNING", missing.c_str(), 1);
  EXPECT_THAT(thrown_by([&] { load_tuning(""); }), error_with(ErrorKind::io, missing));
}

TEST_F(TuningFile, entries_are_added_to_those_that_are_there) {
  const fs::path path = tuning_place("").path;
  add_to_tuning_file(path, {entry_for(1)});
  add_to_tuning_file(path, {entry_for(2), entry_for(3)});
  const TuningPtr table = load_tuning("");
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->entries().size(), 3u);
  EXPECT_NE(table->find(entry_for(1).key), nullptr);
  int files = 0;
  for ([[maybe_unused]] const auto& file : fs::directory_iterator(path.parent_path())) ++files;
  EXPECT_EQ(files, 1);
}

TEST_F(TuningFile, a_damaged_or_oversized_file_is_named_and_stays) {
  const fs::path path = folder_ / "t.json";
  write_file(path, std::string_view("{\"kind\": \"fatwood tuning\", \"format\": 9}"));
  EXPECT_THAT(thrown_by([&] { load_tuning(path.string()); }),
              error_with(ErrorKind::data, path.string() + ": \"format\": found 9, wanted 1"));
  EXPECT_THAT(thrown_by([&] { add_to_tuning_file(path, {entry_for(1)}); }),
              error_with(ErrorKind::data, path.string()));
  EXPECT_EQ(read_text_file(path, 100), "{\"kind\": \"fatwood tuning\", \"format\": 9}");
  write_file(path, std::string(kernels::kMaxTuningBytes + 1, ' '));
  EXPECT_THAT(thrown_by([&] { load_tuning(path.string()); }),
              error_with(ErrorKind::data, path.string()));
}

TEST_F(TuningFile, tune_run_leaves_a_table_that_answers_for_what_it_measured) {
  TuneRunOptions options;
  options.model = "cnn";
  options.batch_sizes = {8, 4, 8};
  options.threads = 1;
  options.seconds = 0;
  options.output = folder_ / "t.json";
  std::vector<std::int64_t> measured;
  const TuneRunResult result = tune_run(
      options,
      {.measured = [&](std::int64_t size, const TuneResult&) { measured.push_back(size); }});
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(measured, (std::vector<std::int64_t>{8, 4}));
  EXPECT_EQ(load_tuning(options.output.string())->entries().size(), 10u);
}

TEST_F(TuningFile, a_stopped_tune_run_leaves_the_file_as_it_was) {
  TuneRunOptions options;
  options.model = "cnn";
  options.batch_sizes = {8};
  options.output = folder_ / "t.json";
  add_to_tuning_file(options.output, {entry_for(1)});
  const std::string before = read_text_file(options.output, kernels::kMaxTuningBytes);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(tune_run(options, {.stop = stop.get_token()}).interrupted);
  EXPECT_EQ(read_text_file(options.output, kernels::kMaxTuningBytes), before);
  EXPECT_EQ(folder_.entries(), 1);
}

TEST_F(TuningFile, what_a_table_changes_is_told_by_layer_and_batch) {
  const auto model =
      make<Sequential>({make<Conv>({.c_in = 1, .c_out = 8}), make<Conv>({.c_in = 8, .c_out = 4})});
  const auto table = std::make_shared<kernels::TuningTable>();
  const auto changes = [&](const TuningPtr& tuning) {
    return describe_tuning(*model, torch::zeros({1, 1, 8, 8}), {64, 32}, kernels::default_isa(),
                           kernels::Precision::f32, tuning);
  };
  EXPECT_EQ(changes(nullptr), "");
  EXPECT_EQ(changes(table), "");
  for (const TunedLayer& layer :
       tune_layers(*model, torch::randn({32, 1, 8, 8}), {.seconds = 0}).layers) {
    kernels::TuningEntry entry = layer.entry;
    entry.kernels = layer.names == "0";
    table->put(entry);
  }
  EXPECT_EQ(changes(table), "1 at 32: LibTorch\n");
}

}  // namespace
}  // namespace fatwood
