#include <iterator>

#include <fatwood/core/error.h>
#include <fatwood/core/version.h>
#include <fatwood/report/assets.h>
#include <fatwood/report/html.h>
#include <fatwood/report/html_sections.h>
#include <fatwood/report/html_writer.h>

namespace fatwood {
namespace {

// Vega compiles its expressions, hence 'unsafe-eval'; nothing may be loaded from anywhere.
constexpr std::string_view kPolicy =
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval'; base-uri 'none'; form-action 'none'";

std::string page_head(const std::string& title) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"";
  html += escaped(kPolicy);
  html += "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  html += "<meta name=\"generator\" content=\"fatwood " + std::string(kVersion) + "\">\n<title>" +
          escaped(title) + "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n";
  html += assets::kPageCss;
  return html + "</style>\n</head>\n<body>\n";
}

// Where the runtime goes is the end: text and tables are readable before it is parsed.
std::string page_end() {
  std::string html = "<script>\n";
  html += assets::kVegaJs;
  html += "\n</script>\n<script>\n";
  html += assets::kVegaLiteJs;
  html += "\n</script>\n<script>\n";
  html += assets::kPageJs;
  return html + "</script>\n</body>\n</html>\n";
}

struct Part {
  std::string id;
  std::string title;
  std::string content;
};

std::string section(const Part& part, int level) {
  return "<section aria-labelledby=\"" + escaped(part.id) + "\">\n" +
         heading(level, part.title, part.id) + part.content + "</section>\n";
}

// Everything about one run; headings at `level`, ids beginning with `prefix`.
std::vector<Part> parts_of(const RunRecord& run, const std::string& prefix, int level) {
  const std::span<const RunRecord> one(&run, 1);
  const auto plots = [&](const std::vector<std::string_view>& names, bool pair) {
    return plot_section(one, prefix, level + 1, names, pair);
  };
  std::vector<Part> parts = {
      {prefix + "epochs", "Epochs", epoch_section(run)},
      {prefix + "training", "Training",
       plots({"loss", "metric"}, true) + plots({"schedule"}, false)},
      {prefix + "inside", "Inside the network", plots({"mean-std", "hist", "near-zero"}, false)},
      {prefix + "model", "Model", summary_section(run) + plots({"parameters"}, false)}};
  if (run.predictions) {
    const auto& classes = run.predictions->classes.empty() ? run.classes : run.predictions->classes;
    parts.push_back({prefix + "predictions", "Predictions",
                     plots({"confusion"}, false) +
                         gallery(run.predictions->worst, classes, level + 1, "Worst predictions") +
                         gallery(run.predictions->best, classes, level + 1, "Best predictions")});
  }
  parts.push_back({prefix + "finder", "Learning-rate finder", plots({"lr-find"}, false)});
  parts.push_back({prefix + "settings", "Options, data, machine", settings_section(run)});
  std::erase_if(parts, [](const Part& part) { return part.content.empty(); });
  return parts;
}

std::string top(const std::string& title, const std::string& lead) {
  return "<a class=\"skip\" href=\"#main\">Skip to the content</a>\n"
         "<header class=\"top\"><div class=\"wrap\"><div class=\"titles\">\n<h1>" +
         escaped(title) + "</h1>\n<p class=\"lead\">" + escaped(lead) +
         "</p></div>\n<button type=\"button\" id=\"theme\" "
         "hidden>Colours</button></div></header>\n";
}

std::string navigation(const std::vector<Part>& parts) {
  std::string html = "<nav aria-label=\"Sections\"><div class=\"wrap\"><ul>\n";
  for (const Part& part : parts)
    html += "<li><a href=\"#" + escaped(part.id) + "\">" + escaped(part.title) + "</a></li>\n";
  return html + "</ul></div></nav>\n";
}

std::string footer() {
  std::string versions(assets::kVegaVersion);
  for (char& c : versions)
    if (c == '\n') c = ' ';
  return "<footer><div class=\"wrap\">Made by fatwood " + std::string(kVersion) +
         ". Plots: " + escaped(versions) +
         "(BSD-3-Clause). This file loads nothing from any network.</div></footer>\n";
}

Part written_out(const ReportPart& part, std::size_t number) {
  std::string html;
  if (!part.lead.empty()) html += "<p>" + escaped(part.lead) + "</p>\n";
  for (const auto& [caption, table] : part.tables) {
    const auto classes = [&columns = table.columns()](std::size_t i) {
      return std::string(columns[i].align == Align::right ? "num" : "");
    };
    std::vector<HtmlTable::Cell> headings;
    for (std::size_t i = 0; i < table.columns().size(); ++i)
      headings.push_back({table.columns()[i].heading, classes(i)});
    HtmlTable written(caption, std::move(headings));
    for (std::size_t row = 0; row < table.rows(); ++row) {
      std::vector<HtmlTable::Cell> cells;
      for (std::size_t i = 0; i < table.columns().size(); ++i)
        cells.push_back({table.row(row)[i], classes(i)});
      written.add(std::move(cells));
    }
    html += written.html();
  }
  return {"part" + std::to_string(number), part.title, std::move(html)};
}

std::string lead_of(const RunRecord& run) {
  std::string lead = run.run.model;
  const auto add = [&](const std::string& text) {
    if (!text.empty()) lead += (lead.empty() ? "" : " · ") + text;
  };
  for (const auto& [name, value] : run.data)
    if (name == "name") add(value);
  if (run.run.batch_size > 0) add("batch " + std::to_string(run.run.batch_size));
  add("seed " + std::to_string(run.run.seed));
  add(run.started);
  return lead;
}

}  // namespace

std::string html_report(std::span<const RunRecord> runs, const std::vector<ReportPart>& first) {
  if (runs.empty()) throw Error(ErrorKind::usage, "html_report", "no run, wanted at least one");
  std::vector<Part> parts;
  for (const ReportPart& part : first) parts.push_back(written_out(part, parts.size() + 1));
  const auto add = [&parts](std::vector<Part> more) {
    parts.insert(parts.end(), std::move_iterator(more.begin()), std::move_iterator(more.end()));
  };
  if (runs.size() == 1) {
    const RunRecord& run = runs.front();
    add(parts_of(run, "", 2));
    std::string html = page_head(run.name + " – fatwood report") + top(run.name, lead_of(run)) +
                       navigation(parts) + "<main id=\"main\" class=\"wrap\">\n" +
                       remarks_box(run) + "<section aria-label=\"Headline figures\">\n" +
                       headline(run) + "</section>\n";
    for (const Part& part : parts) html += section(part, 2);
    return html + "</main>\n" + footer() + page_end();
  }

  add({{"comparison", "Comparison", comparison_section(runs)},
       {"curves", "Curves",
        plot_section(runs, "all-", 3, {"loss", "metric"}, true) +
            plot_section(runs, "all-", 3, {"schedule"}, false)}});
  std::string each;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string prefix = "run" + std::to_string(i + 1) + "-";
    // Closed: a report of many runs would draw hundreds of plots at once.
    each += "<details class=\"run\"><summary><strong>" + escaped(runs[i].name) + "</strong> " +
            escaped(lead_of(runs[i])) + "</summary>\n" + remarks_box(runs[i]) + headline(runs[i]);
    for (const Part& part : parts_of(runs[i], prefix, 3)) each += section(part, 3);
    each += "</details>\n";
  }
  parts.push_back({"runs", "Each run", each});
  const std::string title = std::to_string(runs.size()) + " runs compared";
  std::string html = page_head(title + " – fatwood report") + top(title, "fatwood report") +
                     navigation(parts) + "<main id=\"main\" class=\"wrap\">\n";
  for (const Part& part : parts) html += section(part, 2);
  return html + "</main>\n" + footer() + page_end();
}

std::string html_plot(const std::string& title, const std::string& spec_json) {
  std::string safe;
  for (const char c : spec_json) {
    if (c == '<') {
      safe += "\\u003c";
    } else {
      safe += c;
    }
  }
  return page_head(title) + top(title, "fatwood plot") +
         "<main id=\"main\" class=\"wrap\">\n<figure class=\"plot\"><div class=\"view\" "
         "data-spec=\"plot-spec\" role=\"img\" aria-label=\"" +
         escaped(title) + "\"></div><script type=\"application/json\" id=\"plot-spec\">" + safe +
         "</script></figure>\n</main>\n" + footer() + page_end();
}

}  // namespace fatwood
