#include <gtest/gtest.h>

#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/resnet.h>

namespace fatwood {
namespace {

std::vector<bool> modes_of(const torch::nn::Module& model) {
  std::vector<bool> modes;
  for (const auto& module : model.modules(/*include_self=*/false)) {
    modes.push_back(module->is_training());
  }
  return modes;
}

TEST(Layer, clone_keeps_the_mode_of_each_part) {
  const auto conv = make<Conv>({});
  conv->norm->eval();
  const auto copy = std::dynamic_pointer_cast<Conv>(conv->clone());
  EXPECT_TRUE(copy->is_training());
  EXPECT_FALSE(copy->norm->is_training());
}

TEST(Layer, clone_keeps_the_modes_of_parts_that_are_not_registered) {
  const auto network = make<ResNet>({.depths = {2}, .widths = {4}});
  network->layers()[0].layer->eval();  // the stem, and so conv1 and bn1
  network->layers()[2].layer->eval();  // the second block
  const auto copy = std::dynamic_pointer_cast<ResNet>(network->clone());
  EXPECT_TRUE(copy->is_training());
  EXPECT_TRUE(copy->sequence()->is_training());
  EXPECT_EQ(modes_of(*copy), modes_of(*network));
  EXPECT_EQ(modes_of(*copy->sequence()), modes_of(*network->sequence()));
  network->eval();
  network->sequence()->train();
  const auto other = std::dynamic_pointer_cast<ResNet>(network->clone());
  EXPECT_FALSE(other->is_training());
  EXPECT_TRUE(other->sequence()->is_training());
}

}  // namespace
}  // namespace fatwood
