// The networks that have a name: what `fatwood models` lists and `--model` takes.
#pragma once

#include <span>
#include <string_view>

#include <fatwood/model/layer.h>

namespace fatwood {

/// What a data set asks of a network, and how wide to make it.
struct ModelOptions {
  std::int64_t c_in = 1;               ///< channels of the images
  std::int64_t n_outputs = 10;         ///< classes
  std::vector<std::int64_t> nfs = {};  ///< features per block; empty: the model's own
};

struct ModelEntry {
  std::string_view name;
  std::string_view description;
  LayerPtr (*build)(const ModelOptions&);  ///< built and initialised
};

/// All of them, in the order in which the page introduces them.
std::span<const ModelEntry> model_table();

/// Throws Error{usage} naming the models there are, for a name that is not among them.
const ModelEntry& find_model(std::string_view name);

/// find_model(name).build(options)
LayerPtr build_model(std::string_view name, const ModelOptions& options = {});

}  // namespace fatwood
