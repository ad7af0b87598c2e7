#pragma once
#include "engine/data/video_writer.h"
#include "engine/nn/batch_norm.h"
#include "engine/nn/conv3d.h"
#include "engine/nn/dropout.h"
#include "engine/nn/linear.h"
#include "engine/ops/reduce.h"
#include "engine/optim/adamw.h"
#include "engine/optim/sgd.h"
#include "engine/train/trainer.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {

using namespace kinema::engine::train;
namespace video = kinema::engine::video;

using Floats = std::vector<float>;

struct Net : nn::Module {
  nn::Conv3d conv{
      this, "conv", {.in = 3, .out = 5, .kernel = {3, 3, 3}, .padding = {1, 1, 1}, .bias = false}};
  nn::BatchNorm norm{this, "norm", 5};
  nn::Dropout dropout{this, "dropout", 0.3};
  nn::Linear classify{this, "classify", 5, 3};
  bool plain;  ///< neither batch norm nor dropout: a clip knows nothing of its batch

  explicit Net(bool plain_) : plain(plain_) { initialise(5); }
  Tensor forward(const Tensor& x) const {
    const Tensor y =
        plain ? conv.forward(x, {.relu = true}) : norm.forward(conv.forward(x), {.relu = true});
    const Tensor pooled = global_average_pool(y);
    return classify.forward(plain ? pooled : dropout.forward(pooled));
  }
};

/// One training, whole or taken up again.
struct Training {
  struct Setting {
    int64_t batch = 4;
    bool plain = false, adamw = false;
    double ema = 0, rate = 0.1;
    Dtype precision = Dtype::f32;
    TrainOptions options;
    std::function<void()> after_step = [] {};
  };
  struct Heard : Listener {
    const Training& run;
    std::vector<StepMetrics> steps;
    std::vector<std::vector<Answer>> answers;
    explicit Heard(const Training& r) : run(r) {}
    void after_step(const StepMetrics& step) override {
      steps.push_back(step);
      run.setting.after_step();
    }
    void after_epoch(const EpochMetrics&, const Evaluation* e) override {
      if (e) answers.push_back(e->answers);
    }
  };

  Setting setting;
  Net net;
  optim::ParameterArena arena;
  std::unique_ptr<optim::Optimiser> optimiser;
  std::unique_ptr<optim::Ema> ema;
  LossScale scale;
  video::Loader clips, held_out;
  std::vector<int64_t> rates_asked;
  Heard heard{*this};
  TrainResult result;

  Training(const video::Dataset& set, const Setting& s)
      : setting(s),
        net(s.plain),
        arena(net, s.precision),
        clips(set, recipe(),
              {.batch = s.batch,
               .training = true,
               .shuffle = true,
               .raw = net.device() == Device::gpu}),
        held_out(set, recipe(), {.batch = 4, .raw = net.device() == Device::gpu}) {
    if (s.adamw) {
      optimiser = std::make_unique<optim::AdamW>(arena);
    } else {
      optimiser = std::make_unique<optim::Sgd>(arena, SgdOptions{.momentum = 0.9});
    }
    if (s.ema > 0) ema = std::make_unique<optim::Ema>(net, arena, s.ema);
    setting.options.quiet = true;
  }
  static video::Recipe recipe() {
    return {.frames = 4, .height = 12, .width = 12, .mean = {0.4, 0.4, 0.4}};
  }
  Job job(RunFolder* folder = nullptr, Checkpoint* resume = nullptr) {
    return {.network = net,
            .forward =
                [this](const Tensor& x) {
                  return net.forward(cast(to_device(x, net.device()), setting.precision));
                },
            .arena = arena,
            .optimiser = *optimiser,
            .ema = ema.get(),
            .loss_scale = scaled() ? &scale : nullptr,
            .learning_rate =
                [this](int64_t step) {
                  rates_asked.push_back(step);
                  return setting.rate;
                },
            .train = clips,
            .held_out = held_out,
            .folder = folder,
            .description = {},
            .listeners = {&heard},
            .parts = scaled() ? std::vector<Stateful*>{&scale} : std::vector<Stateful*>{},
            .resume = resume};
  }
  bool scaled() const { return setting.precision == Dtype::f16; }
  Training& go(RunFolder* folder = nullptr, Checkpoint* resume = nullptr) {
    result = engine::train::train(job(folder, resume), setting.options);
    return *this;
  }
  Floats weights() const { return to_vector<float>(arena.values()); }
  Floats statistics() const {
    Floats all = to_vector<float>(net.norm.running_mean);
    for (float v : to_vector<float>(net.norm.running_var)) all.push_back(v);
    return all;
  }
};

/// 11 videos of three classes, 8 frames of 16x16 of one level each.
class TrainingTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (int64_t i = 0; i < 11; ++i) {
      const std::string path = (folder_ / (std::to_string(i) + ".mp4")).string();
      video::VideoWriter writer(path, 16, 16, {.quality = 0, .full_colour = true});
      for (int64_t f = 0; f < 8; ++f)
        writer.write(full({1, 1, 16, 16, 3}, double(20 + 15 * i + f), Dtype::u8).view());
      writer.close();
      set_.samples.push_back({path, i % 3});
    }
    set_.classes = {"a", "b", "c"};
  }

  static inline Folder folder_;
  static inline video::Dataset set_;
};

}  // namespace kinema::test
