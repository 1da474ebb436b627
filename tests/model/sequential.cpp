#include <gtest/gtest.h>

#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>

namespace fatwood {
namespace {

/// A runner that a layer takes away while it runs.
class Replaced : public SequenceRunner {
 public:
  explicit Replaced(bool& gone) : gone_(gone) {}
  ~Replaced() override { gone_ = true; }
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;

  Tensor run(Sequential& layers, const Tensor& x) override {
    const bool& gone = gone_;  // not this object's, which may go
    layers.set_runner(nullptr);
    EXPECT_FALSE(gone);
    return x;
  }

 private:
  bool& gone_;
};

TEST(Sequential, keeps_a_runner_until_it_has_run) {
  const auto sequence = make<Sequential>({make<GeneralReLU>({})});
  bool gone = false;
  sequence->set_runner(std::make_shared<Replaced>(gone));
  sequence->forward(torch::randn({2, 2}));
  EXPECT_TRUE(gone);
  EXPECT_FALSE(sequence->runner());
}

}  // namespace
}  // namespace fatwood
