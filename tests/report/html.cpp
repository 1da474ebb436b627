#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/report/html.h>
#include <fatwood/report/html_sections.h>
#include <fatwood/report/html_writer.h>

#include "sample_run.h"
#include "support/temporary_folder.h"

namespace fatwood {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

std::size_t count_of(const std::string& wanted, const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(wanted, at)) != std::string::npos; ++at) ++count;
  return count;
}

class Html : public ::testing::Test {
 protected:
  RunRecord sample(const std::string& name, const test::SampleRun& options = {}) {
    test::write_sample_run(scratch.path() / name, options);
    return read_run(scratch.path() / name);
  }
  /// The page without the scripts that it carries.
  static std::string text_of(std::span<const RunRecord> runs) {
    const std::string html = html_report(runs);
    return html.substr(0, html.find("</main>"));
  }
  TemporaryFolder scratch;
};

TEST_F(Html, nothing_may_be_loaded_and_nothing_is_named_that_could_be) {
  const RunRecord run = sample("run");
  const std::string page = html_report({&run, 1});
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy\" content=\"default-src 'none'"));
  for (const char* tag : {"<link rel=\"stylesheet", "<script src", "<iframe", "@import", "url("})
    EXPECT_THAT(text_of({&run, 1}), Not(HasSubstr(tag)));
}

TEST_F(Html, one_run_has_its_figures_tables_plots_and_settings) {
  const RunRecord run = sample("run");
  const std::string page = text_of({&run, 1});
  for (const char* text :
       {"<dt>accuracy, evaluation</dt>", "<dd>321,438", "MulticlassAccuracy", "1,404,928",
        "id=\"loss\"", "id=\"mean-std\"", "id=\"hist\"", "id=\"confusion\"", "Worst predictions",
        "taken for", "Sample CPU @ 2.60GHz", "2.13.0", "data:image/png;base64,"})
    EXPECT_THAT(page, HasSubstr(text));
  EXPECT_THAT(page, Not(HasSubstr("Remarks")));
}

TEST_F(Html, an_interrupted_run_says_so_and_shows_what_there_is) {
  const RunRecord run = sample("run", {.stop_at = 94, .artefacts = false});
  const std::string page = text_of({&run, 1});
  EXPECT_THAT(page, HasSubstr("interrupted<small>signal 2"));
  EXPECT_THAT(page, HasSubstr("No epoch was finished."));
  EXPECT_THAT(page, HasSubstr("id=\"mean-std\""));
  EXPECT_THAT(page, Not(HasSubstr("id=\"confusion\"")));
}

TEST_F(Html, remarks_of_the_reader_are_visible) {
  const RunRecord run = sample("run", {.stop_at = 50, .end_record = false, .artefacts = false});
  EXPECT_THAT(text_of({&run, 1}), HasSubstr("<li>The run has no end record"));
}

TEST_F(Html, several_runs_are_compared_with_mean_and_deviation_over_seeds) {
  const std::vector<RunRecord> runs = {sample("a"), sample("b", {.seed = 43}),
                                       sample("c", {.lr = 0.02})};
  const std::string page = text_of(runs);
  EXPECT_THAT(page, HasSubstr("3 runs compared"));
  EXPECT_THAT(page, HasSubstr("residual_cnn, lr 0.01</th><td class=\"num\">2</td>"));
  EXPECT_THAT(page, HasSubstr(" ± "));
  EXPECT_THAT(page, HasSubstr("id=\"all-loss\""));
  EXPECT_THAT(page, HasSubstr("id=\"run3-mean-std\""));
}

TEST_F(Html, what_is_not_finite_is_never_the_best) {
  RunRecord run = sample("run");
  run.epochs.back().metrics = {{"accuracy", kNoNumber},
                               {"loss", -std::numeric_limits<double>::infinity()}};
  const std::string table = epoch_section(run);
  EXPECT_EQ(count_of("num best", table), 2u);
  EXPECT_THAT(table, Not(HasSubstr("num best\">–")));
  EXPECT_THAT(table, Not(HasSubstr("num best\">-inf")));
  const std::vector<RunRecord> runs = {run, sample("other", {.seed = 43})};
  EXPECT_EQ(count_of("num best", comparison_section(runs)), 2u);
  EXPECT_THAT(comparison_section(runs), Not(HasSubstr("num best\">nan")));
  for (EpochRow& row : run.epochs) row.metrics = {{"accuracy", kNoNumber}, {"loss", kNoNumber}};
  EXPECT_EQ(count_of("num best", epoch_section(run)), 0u);
  EXPECT_EQ(count_of("num best", comparison_section({&run, 1})), 0u);
}

TEST_F(Html, all_equally_good_values_are_marked_and_those_of_training_passes_are_not) {
  RunRecord run = sample("run");
  for (EpochRow& row : run.epochs) row.metrics = {{"accuracy", 0.5}, {"loss", 1}};
  EXPECT_EQ(count_of("num best", epoch_section(run)), 6u);
}

TEST_F(Html, a_loss_that_is_not_finite_is_shown_as_such_under_a_sample) {
  const std::vector<PredictedSample> samples = {
      {.label = 0, .predicted = 1, .probability = kNoNumber, .loss = kNoNumber, .pixels = {}}};
  EXPECT_THAT(gallery(samples, {}, 3, "Worst predictions"), HasSubstr("nan %, loss nan<"));
}

TEST_F(Html, a_folder_given_twice_counts_once_and_what_differs_has_its_column) {
  std::vector<RunRecord> runs = {sample("a"), sample("b", {.seed = 43}),
                                 read_run(scratch.path() / "b" / ".." / "a")};
  EXPECT_THAT(comparison_section(runs), HasSubstr("residual_cnn</th><td class=\"num\">2</td>"));
  EXPECT_THAT(comparison_section(runs), Not(HasSubstr("LibTorch")));
  runs[1].libtorch_version = "2.14.0";
  const std::string section = comparison_section(runs);
  EXPECT_THAT(section, HasSubstr("<th scope=\"col\">LibTorch</th>"));
  EXPECT_THAT(section, HasSubstr("<td>2.14.0</td>"));
  EXPECT_THAT(section, HasSubstr("residual_cnn, LibTorch 2.14.0</th><td class=\"num\">1</td>"));
}

TEST_F(Html, text_is_escaped_everywhere) {
  const RunRecord run = sample("run", {.model = "</script><b>x"});
  EXPECT_THAT(html_report({&run, 1}), Not(HasSubstr("<b>x")));
  EXPECT_EQ(escaped("<a b=\"c\">&\x01"), "&lt;a b=&quot;c&quot;&gt;&amp; ");
}

TEST_F(Html, no_run_is_an_error) {
  EXPECT_THROW(html_report({}), Error);
}

}  // namespace
}  // namespace fatwood
