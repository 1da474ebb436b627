// A learning-rate sweep drawn in the terminal, as LivePlot draws a run.
#pragma once

#include <string>
#include <vector>

#include <fatwood/report/run_record.h>
#include <fatwood/report/terminal.h>

namespace fatwood {

/// A legend, the loss over the learning rate (logarithmic) with the suggestions as marks, and the
/// axis below; nothing with fewer than two finite losses or when `room` is too small. No line is
/// wider than room.columns.
std::vector<std::string> lr_find_lines(const LrFindRecord& found, TerminalTraits traits,
                                       WindowSize room);

}  // namespace fatwood
