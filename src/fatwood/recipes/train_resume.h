// `--resume`: a run's options from its folder, and whether there is anything left to do.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include <fatwood/recipes/train_run.h>

namespace fatwood {

/// The options to train with when `--resume what` is given beside the options `given`, of which the
/// user named those in `named` ("lr", "shuffle"; keys of args.json). `what` is a run folder, one of
/// its checkpoints, or "auto": the run in `given.output` if there is one, else a new run. Options
/// come from the run's args.json; those that say how and where it is computed (engine, threads,
/// device, data, checkpoints, on-diverge) may be given anew. Throws Error{usage} when another named
/// option contradicts the run's, naming both, Error{data} when args.json cannot be read.
TrainRunOptions resume_options(const TrainRunOptions& given, const std::set<std::string>& named,
                               const std::string& what);

/// The instruction set that the run began with, from its args.json; empty where that has none.
/// Throws Error{data} when args.json cannot be read.
std::string isa_of_run(const std::filesystem::path& run);

/// The status of a run that has ended by itself and left its weights: "completed" or "cancelled".
/// Empty when there is something to resume.
std::string finished_status(const std::filesystem::path& run);

/// Options from what to_json made of them; keys that are missing keep their defaults.
TrainRunOptions train_options_from_json(const nlohmann::json& json);

}  // namespace fatwood
