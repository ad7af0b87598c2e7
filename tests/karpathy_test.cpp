// Karpathy's fusion networks: the counts of the paper's layers, shapes, what each sees of time, and
// that they learn.
#include "models/base/karpathy.h"
#include <map>
#include <nlohmann/json.hpp>
#include "engine/ops/reduce.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/ops/views.h"
#include "engine/optim/sgd.h"
#include "engine/random.h"
#include "engine/train/summary.h"
#include "tests/support/check.h"

namespace kinema::test {
namespace {

using engine::train::Layer, engine::train::Summary;
using models::Classifier, models::find_model, models::ModelOptions;

const char* const names[] = {"karpathy_single_frame", "karpathy_early_fusion",
                             "karpathy_late_fusion", "karpathy_slow_fusion"};

ModelOptions paper(const std::string& name, int64_t classes = 487) {
  ModelOptions o = find_model(name).defaults;
  o.classes = classes;
  return o;
}

/// The paper's shape at a size that runs in no time.
ModelOptions small(const std::string& name) {
  ModelOptions o = paper(name, 3);
  o.height = o.width = 40;
  o.widths = {6, 8, 10, 10, 8};
  o.hidden = 16;
  return o;
}

Summary summary_of(const std::string& name, const ModelOptions& o) {
  DeviceScope meta(Device::meta);
  const std::unique_ptr<Classifier> net = find_model(name).create(o);
  return engine::train::summarise(*net, {1, o.frames, o.height, o.width, 3},
                                  [&](const Tensor& x) { return net->forward(x); });
}

/// Layers by path.
std::map<std::string, Layer> layers_of(const Summary& s) {
  std::map<std::string, Layer> all;
  for (const Layer& l : s.layers) all[l.path] = l;
  return all;
}

std::unique_ptr<Classifier> made(const std::string& name, const ModelOptions& o) {
  std::unique_ptr<Classifier> net = find_model(name).create(o);
  net->initialise(1);
  return net;
}

/// Weights and biases of conv1 to conv5, from the paper's filters by hand.
TEST(Karpathy, ConvolutionsHaveThePapersWeights) {
  const std::map<std::string, std::vector<int64_t>> want = {
      {"karpathy_single_frame", {34944, 614656, 885120, 1327488, 884992}},
      {"karpathy_early_fusion", {348576, 614656, 885120, 1327488, 884992}},
      {"karpathy_late_fusion", {34944, 614656, 885120, 1327488, 884992}},
      {"karpathy_slow_fusion", {139488, 1229056, 1769856, 1327488, 884992}},
  };
  for (const auto& [name, counts] : want) {
    const std::map<std::string, Layer> layers = layers_of(summary_of(name, paper(name)));
    for (size_t i = 0; i < 5; ++i)
      EXPECT_EQ(layers.at("tower.conv" + std::to_string(i + 1)).parameters, counts[i]) << name << i;
  }
}

/// 170 -> 57 -> 28 -> 14 -> 7 with SAME padding, 170 -> 54 -> 27, 23 -> 11, 9, 7, 5 -> 2 without.
TEST(Karpathy, LayersHaveThePapersSizes) {
  for (const char* name : names) {
    const int64_t rows = std::string(name) == "karpathy_late_fusion" ? 2 : 1;
    const bool slow = std::string(name) == "karpathy_slow_fusion";
    const std::map<std::string, Layer> layers = layers_of(summary_of(name, paper(name)));
    const auto output = [&](const std::string& path) { return layers.at("tower." + path).output; };
    EXPECT_EQ(output("conv1"), (Shape{rows, slow ? 4 : 1, 57, 57, 96})) << name;
    EXPECT_EQ(output("norm1"), output("conv1")) << name;
    EXPECT_EQ(output("conv2"), (Shape{rows, slow ? 2 : 1, 28, 28, 256})) << name;
    EXPECT_EQ(output("conv3"), (Shape{rows, 1, 14, 14, 384})) << name;
    EXPECT_EQ(output("pool5"), (Shape{rows, 1, 7, 7, 256})) << name;
    EXPECT_EQ(layers.at("hidden1").parameters, rows * 7 * 7 * 256 * 4096 + 4096) << name;
    EXPECT_EQ(layers.at("hidden2").parameters, 4096 * 4096 + 4096) << name;
    EXPECT_EQ(layers.at("classify").output, (Shape{1, 487})) << name;
    ModelOptions valid = paper(name);
    valid.same_padding = false;
    EXPECT_EQ(layers_of(summary_of(name, valid)).at("tower.pool5").output,
              (Shape{rows, 1, 2, 2, 256}))
        << name;
  }
}

TEST(Karpathy, SlowFusionSeesAllFramesInItsThirdConvolution) {
  const std::string name = "karpathy_slow_fusion";
  const std::map<std::string, Layer> layers = layers_of(summary_of(name, paper(name)));
  EXPECT_EQ(layers.at("tower.conv1").receptive_field[0], 4);
  EXPECT_EQ(layers.at("tower.conv2").receptive_field[0], 6);
  EXPECT_EQ(layers.at("tower.conv3").receptive_field[0], 10);
}

/// Two streams of 89x89, without the last pool: 89 -> 30 -> 15 -> 7, both 7x7x256.
TEST(Karpathy, MultiresolutionHasTwoStreamsOfHalfTheSize) {
  for (const char* name : names) {
    ModelOptions o = paper(name);
    o.multiresolution = true;
    o.height = o.width = 178;
    const std::map<std::string, Layer> layers = layers_of(summary_of(name, o));
    const int64_t rows = std::string(name) == "karpathy_late_fusion" ? 2 : 1;
    for (const char* stream : {"context.", "fovea."}) {
      EXPECT_EQ(layers.at(stream + std::string("conv1")).output[2], 30) << name;
      EXPECT_EQ(layers.at(stream + std::string("conv5")).output, (Shape{rows, 1, 7, 7, 256}));
      EXPECT_EQ(layers.count(stream + std::string("pool5")), 0u) << name;
    }
    EXPECT_EQ(layers.at("hidden1").parameters, rows * 2 * 7 * 7 * 256 * 4096 + 4096) << name;
  }
}

/// The fovea stream sees the middle and nothing else, the context stream all.
TEST(Karpathy, TheFoveaIsTheMiddle) {
  ModelOptions o = small("karpathy_single_frame");
  o.multiresolution = true;
  o.height = o.width = 80;
  const std::unique_ptr<Classifier> net = made("karpathy_single_frame", o);
  net->train(false);
  const Tensor clip = random({1, 1, 80, 80, 3});
  const auto scores_with = [&](int64_t from, int64_t size, const char* silent) {
    for (const nn::NamedTensor& p : net->parameters())
      if (p.name.starts_with(silent)) fill(*p.tensor, 0);
    Tensor changed = random(clip.shape());
    fill(slice(slice(changed, 2, from, size), 3, from, size), 0.5);
    const double differs = error(net->forward(changed), net->forward(clip));
    net->initialise(1);
    return differs;
  };
  EXPECT_GT(scores_with(20, 40, "context."), 1e-3);
  EXPECT_EQ(scores_with(0, 20, "context."), 0);
  EXPECT_GT(scores_with(0, 20, "fovea."), 1e-3);
}

TEST(Karpathy, ScoresAndGradientsFlow) {
  for (const char* name : names)
    for (bool two : {false, true})
      for (bool same : {true, false}) {
        if (two && !same) continue;
        ModelOptions o = small(name);
        o.multiresolution = two;
        o.same_padding = same;
        o.height = o.width = two ? 80 : same ? 40 : 128;
        SCOPED_TRACE(std::string(name) + (two ? " two streams" : "") + (same ? "" : " valid"));
        const std::unique_ptr<Classifier> net = made(name, o);
        RandomScope draws(1, 0);
        const Tensor y = net->forward(random({1, o.frames, o.height, o.width, 3}));
        EXPECT_EQ(y.shape(), (Shape{1, 3}));
        for (float v : to_vector<float>(y)) EXPECT_TRUE(std::isfinite(v));
        // Products with random numbers: a loss that only adds would hide swapped gradients.
        backward(y, random(y.shape(), 3));
        for (const nn::NamedTensor& p : net->parameters()) {
          const Tensor g = gradient(*p.tensor);
          EXPECT_NE(floats(g), std::vector<float>(size_t(g.size()))) << p.name;
        }
      }
}

/// Which can tell a clip from its reverse.
TEST(Karpathy, AllButTheSingleFrameSeeTheOrderOfFrames) {
  for (const char* name : names) {
    ModelOptions o = small(name);
    if (o.frames == 1) o.frames = 4;
    const std::unique_ptr<Classifier> net = made(name, o);
    net->train(false);
    const Tensor clip = random({1, o.frames, 40, 40, 3});
    Tensor reversed = empty(clip.shape());
    for (int64_t t = 0; t < o.frames; ++t)
      copy(slice(clip, 1, o.frames - 1 - t, 1), slice(reversed, 1, t, 1));
    const double differs = error(net->forward(clip), net->forward(reversed));
    if (std::string(name) == "karpathy_single_frame") {
      EXPECT_LT(differs, 1e-5);
    } else {
      EXPECT_GT(differs, 1e-3) << name;
    }
  }
}

TEST(Karpathy, LateFusionJoinsTheFirstAndTheLastFrame) {
  EXPECT_EQ(find_model("karpathy_late_fusion").frame_stride, 15);
  ModelOptions o = small("karpathy_late_fusion");
  const std::unique_ptr<Classifier> two = made("karpathy_late_fusion", o);
  o.frames = 5;
  const std::unique_ptr<Classifier> five = made("karpathy_late_fusion", o);
  two->train(false), five->train(false);
  const Tensor clip = random({2, 5, 40, 40, 3});
  EXPECT_EQ(to_vector<float>(five->forward(clip)),
            to_vector<float>(two->forward(contiguous(slice(clip, 1, 0, 2, 4)))));
}

/// Noise on one of three colours, dropout on: the loss of chance is ln 3 = 1.1.
TEST(Karpathy, TheyLearn) {
  const std::vector<int64_t> classes{0, 1, 2, 0, 1, 2};
  for (const char* name : names) {
    ModelOptions o = small(name);
    o.dropout = 0.25;
    const std::unique_ptr<Classifier> net = made(name, o);
    optim::ParameterArena arena(*net);
    optim::Sgd sgd(arena, {.momentum = 0.9});
    const Tensor clips = random({6, o.frames, 40, 40, 3}), labels = from_vector({6}, classes);
    for (int64_t n = 0; n < 6; ++n) fill(slice(slice(clips, 0, n, 1), 4, classes[size_t(n)], 1), 1);
    for (uint64_t step = 0; step < 80; ++step) {
      RandomScope draws(1, step);
      arena.zero_grad();
      backward(softmax_cross_entropy(net->forward(clips), labels));
      sgd.step(0.01);
    }
    net->train(false);
    EXPECT_LT(item(softmax_cross_entropy(net->forward(clips), labels)), 0.5) << name;
  }
}

TEST(Karpathy, OptionsOfOldCheckpointsKeepTheDefaults) {
  const ModelOptions old = nlohmann::json::parse(R"({"classes": 3, "frames": 4})");
  EXPECT_TRUE(old.same_padding);
  EXPECT_FALSE(old.multiresolution);
  const ModelOptions o{.classes = 3, .same_padding = false, .multiresolution = true};
  EXPECT_EQ(nlohmann::json(o).get<ModelOptions>(), o);
}

TEST(Karpathy, Refusals) {
  const auto says = [](const std::string& name, const ModelOptions& o) {
    return refusal([&] { find_model(name).create(o); });
  };
  ModelOptions o = small("karpathy_slow_fusion");
  o.widths = {1, 2, 3};
  EXPECT_EQ(says("karpathy_slow_fusion", o), "karpathy_slow_fusion: expected five widths, got 3");
  o = small("karpathy_slow_fusion");
  o.batch_norm = true;
  EXPECT_EQ(says("karpathy_slow_fusion", o),
            "karpathy_slow_fusion: has local response norms in place of batch norm, which must be "
            "off");
  o = small("karpathy_slow_fusion");
  o.frames = 3;
  EXPECT_EQ(says("karpathy_slow_fusion", o),
            "karpathy_slow_fusion: 3 frames of 40x40 are too few or too small: nothing is left "
            "behind conv1");
  o = small("karpathy_late_fusion");
  o.frames = 1;
  EXPECT_EQ(says("karpathy_late_fusion", o), "karpathy_late_fusion: clips need two frames, got 1");
  o = small("karpathy_single_frame");
  o.same_padding = false;
  EXPECT_EQ(says("karpathy_single_frame", o),
            "karpathy_single_frame: 1 frames of 40x40 are too few or too small: nothing is left "
            "behind conv2");
  const std::unique_ptr<Classifier> net =
      made("karpathy_early_fusion", small("karpathy_early_fusion"));
  EXPECT_EQ(refusal([&] {
              net->forward(random({1, 9, 40, 40, 3}));
            }),
            "karpathy_early_fusion: expected clips [N,10,40,40,3], got [1,9,40,40,3]");
}

}  // namespace
}  // namespace kinema::test
