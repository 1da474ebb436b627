#include <cmath>

#include <gtest/gtest.h>

#include <fatwood/model/libtorch.h>
#include <fatwood/train/metrics.h>

namespace fatwood {
namespace {

// Equality with torchmetrics is tested in tests/oracle.

Tensor logits_for(const std::vector<std::int64_t>& predicted, std::int64_t classes) {
  return torch::one_hot(torch::tensor(predicted), classes).to(torch::kFloat);
}

TEST(Accuracy, macro_is_the_mean_over_the_classes_that_occur) {
  const MetricPtr metric = accuracy(4);
  metric->reset();
  metric->update(logits_for({0, 0, 1}, 4), torch::tensor({0, 0, 0}), 0);
  metric->update(logits_for({2}, 4), torch::tensor({2}), 0);
  // Class 0: 2 of 3; class 1: predicted, never true; class 2: 1 of 1; class 3: absent.
  EXPECT_DOUBLE_EQ(metric->value(), (2.0 / 3 + 0 + 1) / 3);
}

TEST(Accuracy, micro_counts_samples) {
  const MetricPtr metric = accuracy(4, Average::micro);
  metric->update(logits_for({0, 0, 1, 2}, 4), torch::tensor({0, 0, 0, 2}), 0);
  EXPECT_DOUBLE_EQ(metric->value(), 0.75);
}

TEST(TopK, counts_a_class_among_the_most_likely) {
  const MetricPtr metric = top_k(2);
  metric->update(torch::tensor({{3.0, 2.0, 1.0}, {3.0, 2.0, 1.0}}), torch::tensor({1, 2}), 0);
  EXPECT_DOUBLE_EQ(metric->value(), 0.5);
}

TEST(MeanLoss, weighs_batches_by_their_size) {
  const MetricPtr metric = mean_loss();
  metric->update({}, torch::zeros(3), 1.0);
  metric->update({}, torch::zeros(1), 5.0);
  EXPECT_DOUBLE_EQ(metric->value(), 2.0);
}

TEST(Metrics, of_nothing_are_not_a_number) {
  for (const MetricPtr& metric : {accuracy(3), top_k(1), mean_loss()}) {
    metric->reset();
    EXPECT_TRUE(std::isnan(metric->value()));
  }
}

TEST(Metrics, state_carries_a_pass_over_an_interruption) {
  const Tensor predictions = torch::randn({20, 3}), targets = torch::randint(3, {20});
  for (const auto make_metric :
       {+[] { return accuracy(3); }, +[] { return top_k(2); }, +[] { return mean_loss(); }}) {
    const MetricPtr whole = make_metric(), first = make_metric(), second = make_metric();
    whole->update(predictions.slice(0, 0, 7), targets.slice(0, 0, 7), 1);
    first->update(predictions.slice(0, 0, 7), targets.slice(0, 0, 7), 1);
    second->load_state(first->state());
    whole->update(predictions.slice(0, 7), targets.slice(0, 7), 2);
    second->update(predictions.slice(0, 7), targets.slice(0, 7), 2);
    EXPECT_EQ(second->value(), whole->value());
  }
}

}  // namespace
}  // namespace fatwood
