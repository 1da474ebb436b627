#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/adaptor.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>
#include <fatwood/train/norm_check.h>

namespace fatwood {
namespace {

BatchSourcePtr images(std::int64_t count, std::int64_t batch_size) {
  return tensor_batches(torch::randn({count, 1, 8, 8}), torch::zeros({count}, torch::kLong),
                        {.batch_size = batch_size});
}

LayerPtr down_to_one_pixel() {
  return DeeperCNN::kaiming({.nfs = {4, 8, 8}, .n_outputs = 3});
}

TEST(NormCheck, a_last_batch_of_one_sample_is_refused_where_a_norm_sees_one_pixel) {
  const LayerPtr model = down_to_one_pixel();
  try {
    check_norms(*model, *images(33, 8));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_NE(std::string(error.what()).find("1 of 33 samples"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("batch size than 8"), std::string::npos);
  }
  EXPECT_THROW(check_norms(*model, *images(3, 1)), Error);
}

TEST(NormCheck, other_batches_pass) {
  const LayerPtr model = down_to_one_pixel();
  check_norms(*model, *images(34, 8));
  check_norms(*model, *images(32, 8));
}

TEST(NormCheck, one_sample_passes_where_every_norm_sees_more_pixels) {
  const LayerPtr model =
      make<Sequential>({make<Conv>({.c_in = 1, .c_out = 4}), make<Conv>({.c_in = 4, .c_out = 3})});
  const Tensor before = model->named_buffers()["0.norm.running_mean"].clone();
  check_norms(*model, *images(33, 8));
  EXPECT_TRUE(torch::equal(model->named_buffers()["0.norm.running_mean"], before));
}

TEST(NormCheck, a_module_that_cannot_be_copied_is_left_to_the_batch) {
  const LayerPtr model =
      make<Sequential>({make<Conv>({.c_in = 1, .c_out = 4}),
                        adapt(torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 3, 1)))});
  check_norms(*model, *images(33, 8));
}

}  // namespace
}  // namespace fatwood
