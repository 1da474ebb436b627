// Checkpoints whose digest is right and whose content is not what a run wrote: each value of what
// they say of themselves, and each tensor, replaced in turn. They are restored and trained on, or
// refused by one Error; nothing else comes out, and nothing crashes.
#include <exception>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/train/averaged_weights.h>
#include <fatwood/train/checkpoint.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/weights.h>

#include "support/temporary_folder.h"
#include "train/tiny.h"

namespace fatwood {
namespace {

using nlohmann::json;

Learner learner_with_state() {
  Learner learner = tiny_learner({Metrics::usual(2), std::make_shared<AveragedWeights>()});
  learner.run().optimizer =
      sgd(*learner.run().model, {.lr = 0.1, .momentum = 0.9, .nesterov = true});
  return learner;
}

/// Of a run of that learner, in the middle of an epoch.
class HostileCheckpoint : public testing::Test {
 protected:
  struct SaveOnce : Callback {
    std::string name() const override { return "save_once"; }
    Stage stage() const override { return Stage::save; }
    void cleanup_batch(fatwood::Run& run) override {
      if (run.step == 5) snapshot.take(run, {1, Mode::training, 2}, {});
    }
    Snapshot snapshot;
  };

  void SetUp() override {
    Learner learner = learner_with_state();
    learner.add(saved_);
    learner.fit(2);
    json about = saved_->snapshot.about();
    about["callbacks"].erase("save_once");
    about_ = about;
  }

  /// What is wrong with what came of it, "" if nothing.
  std::string outcome(const std::vector<TensorView>& tensors, const json& about) {
    write_checkpoint(folder_ / "hostile", tensors, about);
    const CheckpointFile file = read_checkpoint(folder_ / "hostile");
    try {
      Learner learner = learner_with_state();
      restore(file, learner);
      ++restored_;
      learner.fit(2);
    } catch (const Error& error) {
      ++refused_;
      return error.kind() == ErrorKind::internal ? error.what() : "";
    } catch (const std::exception& error) {
      return std::string("not an Error: ") + error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  std::shared_ptr<SaveOnce> saved_ = std::make_shared<SaveOnce>();
  json about_;
  int restored_ = 0, refused_ = 0;
};

void collect(const json& value, const json::json_pointer& at,
             std::vector<json::json_pointer>& all) {
  all.push_back(at);
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) collect(child, at / key, all);
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) collect(value[i], at / i, all);
  }
}

TEST_F(HostileCheckpoint, as_it_was_written_is_restored) {
  EXPECT_EQ(outcome(saved_->snapshot.views(), about_), "");
  EXPECT_EQ(restored_, 1);
}

TEST_F(HostileCheckpoint, any_value_of_what_it_says_of_itself_is_restored_or_refused) {
  std::vector<json::json_pointer> places;
  collect(about_, json::json_pointer(), places);
  ASSERT_GT(places.size(), 25u);
  const std::vector<json> values{nullptr,
                                 true,
                                 -1,
                                 0,
                                 1.5,
                                 1e300,
                                 ~std::uint64_t{0},
                                 "",
                                 "x",
                                 "\n",
                                 {},
                                 json::array(),
                                 json::array({1, {}}),
                                 json::object(),
                                 json{{"name", 1}}};
  for (const json::json_pointer& place : places) {
    for (const json& value : values) {
      json about = about_;
      about[place] = value;
      if (!about.is_object() || about.value("format", json()) != kCheckpointFormat) continue;
      EXPECT_EQ(outcome(saved_->snapshot.views(), about), "") << place << " = " << value;
    }
    if (place.empty() || !about_[place.parent_pointer()].is_object()) continue;
    json about = about_;
    about[place.parent_pointer()].erase(place.back());
    if (!about.contains("format")) continue;
    EXPECT_EQ(outcome(saved_->snapshot.views(), about), "") << "without " << place;
  }
  EXPECT_GT(refused_, 200);
}

TEST_F(HostileCheckpoint, tensors_of_other_shapes_and_types_are_restored_or_refused) {
  const std::vector<TensorView> views = saved_->snapshot.views();
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::uint64_t bytes = views[i].data.size();
    const std::vector<std::uint8_t> more(bytes + 64, 1);
    const auto with = [&](TensorView other) {
      std::vector<TensorView> all = views;
      other.name = views[i].name;
      all[i] = std::move(other);
      EXPECT_EQ(outcome(all, about_), "") << views[i].name;
    };
    with({"", views[i].dtype, {0}, {}});
    with({"", views[i].dtype, {}, ByteView(more).first(size_of(views[i].dtype))});
    with({"", DType::u8, {static_cast<std::int64_t>(bytes)}, ByteView(more).first(bytes)});
    with({"", DType::boolean, {static_cast<std::int64_t>(bytes)}, ByteView(more).first(bytes)});
    with({"", DType::i64, {8}, ByteView(more).first(64)});
    with({"", DType::c64, {2, 2, 2}, ByteView(more).first(64)});
    std::vector<TensorView> fewer = views;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(outcome(fewer, about_), "") << "without " << views[i].name;
    std::vector<TensorView> strange = views;
    strange.push_back({views[i].name + ".x", views[i].dtype, views[i].shape, views[i].data});
    EXPECT_EQ(outcome(strange, about_), "") << "beside " << views[i].name;
  }
  EXPECT_GT(refused_, 50);
}

}  // namespace
}  // namespace fatwood
