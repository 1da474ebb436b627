#include <cstdlib>
#include <iostream>

#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>

int main() {
  const fatwood::LayerPtr model = fatwood::build_model("residual_cnn");
  const torch::Tensor logits = model->forward(torch::zeros({2, 1, 28, 28}));
  std::cout << logits.sizes() << '\n';
  return logits.sizes() == torch::IntArrayRef{2, 10} ? EXIT_SUCCESS : EXIT_FAILURE;
}
