#include <fatwood/report/html_writer.h>

namespace fatwood {
namespace {

std::string cell_html(const HtmlTable::Cell& cell, std::string_view scope) {
  const std::string tag = scope.empty() ? "td" : "th";
  std::string html = "<" + tag;
  if (!scope.empty()) html += " scope=\"" + std::string(scope) + "\"";
  if (!cell.classes.empty()) html += " class=\"" + cell.classes + "\"";
  return html + ">" + escaped(cell.text) + "</" + tag + ">";
}

std::string row_html(const std::vector<HtmlTable::Cell>& cells) {
  std::string html = "<tr>";
  for (const HtmlTable::Cell& cell : cells) html += cell_html(cell, cell.heading ? "row" : "");
  return html + "</tr>\n";
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string html;
  html.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      default:
        // Control characters are not allowed in HTML.
        html += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return html;
}

std::string HtmlTable::html() const {
  std::string html = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                     escaped(caption_) + "\">\n<table>\n<caption>" + escaped(caption_) +
                     "</caption>\n<thead><tr>";
  for (const Cell& cell : headings_) html += cell_html(cell, "col");
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows_) html += row_html(row);
  html += "</tbody>\n";
  if (!total_.empty()) html += "<tfoot>" + row_html(total_) + "</tfoot>\n";
  return html + "</table>\n</div>\n";
}

}  // namespace fatwood
