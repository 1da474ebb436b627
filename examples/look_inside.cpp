// What a network is made of: its tree, its summary, and a tap into one layer.
#include <iostream>

#include <fatwood/inspect/summary.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>

using namespace fatwood;

int main() {
  torch::manual_seed(0);
  const auto model = DeeperCNN::kaiming({.block = make<ResidualConvBlock>});
  std::cout << *model << "\n\n";

  const Tensor batch = torch::randn({16, 1, 28, 28});
  std::cout << to_markdown(summarize(*model, batch)) << "\n";

  const NamedLayer second = model->layers()[1];
  const TapHandle tap = second.layer->add_tap(
      {.request = {.moments = true}, .deliver = [&second](const TapReading& reading) {
         std::cout << second.name << ": mean " << reading.statistics->mean << ", deviation "
                   << reading.statistics->std << "\n";
       }});
  model->forward(batch);
}
