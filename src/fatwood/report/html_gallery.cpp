// Samples with their pictures.
#include <fatwood/core/text.h>
#include <fatwood/report/html_sections.h>
#include <fatwood/report/html_writer.h>
#include <fatwood/report/number_text.h>
#include <fatwood/report/png.h>

namespace fatwood {

std::string gallery(std::span<const PredictedSample> samples, std::span<const std::string> classes,
                    int level, const std::string& title) {
  if (samples.empty()) return "";
  std::string html = heading(level, title) + "<ul class=\"gallery\">\n";
  for (const PredictedSample& sample : samples) {
    const std::string label = class_name(classes, sample.label);
    const std::string predicted = class_name(classes, sample.predicted);
    const bool wrong = sample.label != sample.predicted;
    html += "<li>";
    if (!sample.pixels.empty()) {
      html += "<img width=\"" + std::to_string(sample.width) + "\" height=\"" +
              std::to_string(sample.height) + "\" alt=\"" +
              escaped("Sample " + std::to_string(sample.index) + ": " + label) + "\" src=\"" +
              png_data_uri(sample.channels, sample.height, sample.width, sample.pixels) + "\">";
    }
    html += "<div>" + escaped(label) + "</div>";
    if (wrong) html += "<div class=\"wrong\">taken for " + escaped(predicted) + "</div>";
    html += "<div class=\"soft\">" + fixed(100 * sample.probability, 1) + " %, loss " +
            short_number(sample.loss) + "</div></li>\n";
  }
  return html + "</ul>\n";
}

}  // namespace fatwood
