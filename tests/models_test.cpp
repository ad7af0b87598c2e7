#include <map>
#include <nlohmann/json.hpp>
#include "engine/ops/views.h"
#include "engine/random.h"
#include "engine/train/summary.h"
#include "models/base/model.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using engine::train::Layer, engine::train::summarise, engine::train::Summary;
using models::Classifier, models::find_model, models::Model, models::ModelOptions;
using Triple = std::array<int64_t, 3>;

Summary summary_of(const std::string& name, const ModelOptions& o) {
  DeviceScope meta(Device::meta);
  const std::unique_ptr<Classifier> net = find_model(name).create(o);
  return summarise(*net, {1, o.frames, o.height, o.width, 3},
                   [&](const Tensor& x) { return net->forward(x); });
}

std::unique_ptr<Classifier> made(const std::string& name, const ModelOptions& o) {
  std::unique_ptr<Classifier> net = find_model(name).create(o);
  net->initialise(1);
  return net;
}

/// Receptive fields of the convolutions and of what pools or flattens, in order.
std::vector<Triple> fields_of(const Summary& s) {
  std::vector<Triple> fields;
  for (const Layer& l : s.layers)
    if (l.op != "batch_norm" && l.op != "linear") fields.push_back(l.receptive_field);
  return fields;
}

struct Counts {
  int64_t parameters, macs;
};

/// By hand, for 12 classes and clips 3x20x64x64; kernels times channels, two numbers a channel of
/// batch norm, and 24 x 12 + 12 of the last layer.
const std::map<std::string, Counts> by_hand = {
    {"single_frame", {324 + 24 + 2592 + 48 + 300, 20 * (4096 * 324 + 256 * 2592 + 288)}},
    {"late_fusion_pool", {324 + 24 + 2592 + 48 + 300, 20 * (4096 * 324 + 256 * 2592) + 288}},
    {"late_fusion_fc",
     {324 + 24 + 2592 + 48 + 7680 * 64 + 64 + 64 * 12 + 12,
      20 * (4096 * 324 + 256 * 2592) + 7680 * 64 + 768}},
    {"early_fusion", {6480 + 24 + 2592 + 48 + 300, 4096 * 6480 + 256 * 2592 + 288}},
    {"slow_fusion", {972 + 24 + 7776 + 48 + 300, 20 * 4096 * 972 + 5 * 256 * 7776 + 288}},
};

TEST(Models, AreFoundByFileName) {
  std::vector<std::string> names;
  for (const Model* m : models::models()) names.push_back(m->name);
  EXPECT_EQ(names, (std::vector<std::string>{"early_fusion", "karpathy_early_fusion",
                                             "karpathy_late_fusion", "karpathy_single_frame",
                                             "karpathy_slow_fusion", "late_fusion_fc",
                                             "late_fusion_pool", "single_frame", "slow_fusion"}));
}

TEST(Models, ParametersAndMultiplyAddsAreThoseByHand) {
  for (const auto& [name, want] : by_hand) {
    const Summary s = summary_of(name, {.classes = 12});
    EXPECT_EQ(s.parameters, want.parameters) << name;
    EXPECT_EQ(s.macs, want.macs) << name;
    int64_t parameters = 0, macs = 0;
    for (const Layer& l : s.layers) {
      parameters += l.parameters;
      macs += l.macs;
    }
    EXPECT_EQ(parameters, s.parameters) << name;
    EXPECT_EQ(macs, s.macs) << name;
  }
}

TEST(Models, ReceptiveFieldsAreTheLectures) {
  const ModelOptions o{.classes = 12};
  const Triple all{20, 64, 64};
  EXPECT_EQ(fields_of(summary_of("late_fusion_pool", o)),
            (std::vector<Triple>{{1, 3, 3}, {1, 6, 6}, {1, 14, 14}, all}));
  EXPECT_EQ(fields_of(summary_of("early_fusion", o)),
            (std::vector<Triple>{{20, 3, 3}, {20, 6, 6}, {20, 14, 14}, all}));
  EXPECT_EQ(fields_of(summary_of("slow_fusion", o)),
            (std::vector<Triple>{{3, 3, 3}, {6, 6, 6}, {14, 14, 14}, all}));
  // Pooled over pixels first, over frames at the end.
  EXPECT_EQ(fields_of(summary_of("single_frame", o)),
            (std::vector<Triple>{{1, 3, 3}, {1, 6, 6}, {1, 14, 14}, {1, 64, 64}, all}));
  const Summary fc = summary_of("late_fusion_fc", o);
  EXPECT_EQ(fields_of(fc), (std::vector<Triple>{{1, 3, 3}, {1, 6, 6}, {1, 14, 14}, {1, 26, 26}}));
  EXPECT_EQ(fc.layers.back().receptive_field, all);
  EXPECT_EQ(fc.layers[fc.layers.size() - 2].op, "linear");
  EXPECT_EQ(fc.layers[fc.layers.size() - 2].receptive_field, all);
}

TEST(Models, SummaryAsJson) {
  const nlohmann::json j = summary_of("slow_fusion", {.classes = 12});
  EXPECT_EQ(j["parameters"], 9120);
  EXPECT_EQ(j["macs"], 89579808);
  ASSERT_EQ(j["layers"].size(), 7u);
  EXPECT_EQ(j["layers"][0]["path"], "features.block1.conv");
  EXPECT_EQ(j["layers"][0]["op"], "conv3d");
  EXPECT_EQ(j["layers"][0]["output"], (std::vector<int64_t>{1, 20, 64, 64, 12}));
  EXPECT_EQ(j["layers"][0]["parameters"], 972);
  EXPECT_EQ(j["layers"][0]["activation_bytes"], 20 * 64 * 64 * 12 * 4);
  EXPECT_EQ(j["layers"][2]["op"], "max_pool3d");
  EXPECT_EQ(j["layers"][2]["output"], (std::vector<int64_t>{1, 5, 16, 16, 12}));
  EXPECT_EQ(j["layers"][2]["receptive_field"], (std::vector<int64_t>{6, 6, 6}));
  EXPECT_EQ(j["layers"][6]["output"], (std::vector<int64_t>{1, 12}));
}

TEST(Models, ATableHasALineALayer) {
  const Summary s = summary_of("slow_fusion", {.classes = 12});
  const std::string table = engine::train::table_of(s);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), int64_t(s.layers.size()) + 2);
  EXPECT_NE(table.find("14x14x14"), std::string::npos);
  EXPECT_NE(table.find("89,579,808"), std::string::npos);
}

/// Other widths, sizes that the pools do not divide, no batch norm, one width, tiny clips.
TEST(Models, ScoresHaveOneRowAClip) {
  const ModelOptions options[] = {
      {.classes = 5},
      {.classes = 3, .frames = 7, .height = 37, .width = 50, .widths = {5, 6, 7, 9}},
      {.classes = 2, .frames = 1, .height = 3, .width = 2, .widths = {4, 4}},
      {.classes = 1, .frames = 4, .height = 16, .width = 16, .widths = {5}, .batch_norm = false},
      {.classes = 4, .frames = 4, .height = 16, .width = 16, .dropout = 0.5},
  };
  for (const auto& [name, counts] : by_hand)
    for (const ModelOptions& o : options) {
      const std::unique_ptr<Classifier> net = made(name, o);
      RandomScope scope(1, 0);
      const Tensor y = net->forward(random({2, o.frames, o.height, o.width, 3}));
      EXPECT_EQ(y.shape(), (Shape{2, o.classes})) << name;
      for (float v : to_vector<float>(y)) EXPECT_TRUE(std::isfinite(v)) << name;
      backward(y, full(y.shape(), 1));
      for (const auto& p : net->parameters()) EXPECT_TRUE(gradient(*p.tensor)) << p.name;
    }
}

/// One clip of two frames against the two frames as clips: bounds are rounding of a mean of two.
TEST(Models, SingleFrameAveragesTheScoresOfItsFrames) {
  const ModelOptions o{.classes = 3, .frames = 2, .height = 16, .width = 16};
  const std::unique_ptr<Classifier> net = made("single_frame", o);
  net->train(false);
  const Tensor clip = random({1, 2, 16, 16, 3});
  const std::vector<float> both = to_vector<float>(net->forward(clip)),
                           first = to_vector<float>(net->forward(slice(clip, 1, 0, 1))),
                           second = to_vector<float>(net->forward(slice(clip, 1, 1, 1)));
  for (size_t c = 0; c < 3; ++c) EXPECT_NEAR(both[c], (first[c] + second[c]) / 2, 1e-6);
}

/// What fusion means: which networks can tell a clip from its reverse. Averages over frames cannot
/// (up to the rounding of sums in another order); the others do.
TEST(Models, OnlySomeSeeTheOrderOfFrames) {
  const ModelOptions o{.classes = 3, .frames = 4, .height = 16, .width = 16};
  const Tensor clip = random({1, 4, 16, 16, 3});
  Tensor reversed = empty(clip.shape());
  for (int64_t t = 0; t < 4; ++t) copy(slice(clip, 1, 3 - t, 1), slice(reversed, 1, t, 1));
  for (const auto& [name, counts] : by_hand) {
    const std::unique_ptr<Classifier> net = made(name, o);
    net->train(false);
    const double differs = error(net->forward(clip), net->forward(reversed));
    if (name == "single_frame" || name == "late_fusion_pool") {
      EXPECT_LT(differs, 1e-5) << name;
    } else {
      EXPECT_GT(differs, 1e-3) << name;
    }
  }
}

TEST(Models, OptionsAsJsonComeBack) {
  const ModelOptions o{
      .classes = 7, .frames = 9, .widths = {1, 2, 3}, .batch_norm = false, .dropout = 0.25};
  EXPECT_EQ(nlohmann::json(o).get<ModelOptions>(), o);
  EXPECT_EQ(nlohmann::json::parse(R"({"frames": 3})").get<ModelOptions>().frames, 3);
  EXPECT_EQ(refusal([] { nlohmann::json::parse(R"({"frame": 3})").get<ModelOptions>(); }),
            "model options: unknown field 'frame'");
}

TEST(Models, Refusals) {
  EXPECT_EQ(refusal([] { find_model("slow_fussion"); }),
            "unknown model 'slow_fussion'; did you mean 'slow_fusion'?");
  EXPECT_EQ(refusal([] { find_model("x"); }),
            "unknown model 'x'; known: 'early_fusion', 'karpathy_early_fusion', "
            "'karpathy_late_fusion', 'karpathy_single_frame', 'karpathy_slow_fusion', "
            "'late_fusion_fc', 'late_fusion_pool', 'single_frame', 'slow_fusion'");
  EXPECT_EQ(refusal([] { find_model("slow_fusion").create({}); }),
            "slow_fusion: at least one class is needed, got 0");
  EXPECT_EQ(refusal([] { find_model("early_fusion").create({.classes = 2, .widths = {}}); }),
            "early_fusion: at least one width is needed");
  EXPECT_EQ(refusal([] { find_model("late_fusion_fc").create({.classes = 2, .dropout = 1}); }),
            "late_fusion_fc: dropout must be in [0, 1), got 1");
  const std::unique_ptr<Classifier> early = made("early_fusion", {.classes = 2});
  EXPECT_EQ(refusal([&] {
              early->forward(random({1, 19, 64, 64, 3}));
            }),
            "early_fusion: expected clips [N,20,H,W,3], got [1,19,64,64,3]");
  const std::unique_ptr<Classifier> fc = made("late_fusion_fc", {.classes = 2});
  EXPECT_EQ(refusal([&] {
              fc->forward(random({1, 20, 64, 32, 3}));
            }),
            "late_fusion_fc: expected clips [N,20,64,64,3], got [1,20,64,32,3]");
  const std::unique_ptr<Classifier> slow = made("slow_fusion", {.classes = 2});
  EXPECT_EQ(refusal([&] {
              slow->forward(random({1, 20, 64, 64, 4}));
            }),
            "slow_fusion: expected clips [N,T,H,W,3], got [1,20,64,64,4]");
}

}  // namespace
}  // namespace kinema::test
