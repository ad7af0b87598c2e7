#include "tools/base/learning_settings.h"
#include "engine/optim/adamw.h"
#include "engine/optim/sgd.h"

namespace kinema::tools {

namespace optim = engine::optim;

void LearningSettings::declare(Options& options) {
  options.add_choice("--dtype", dtype, {"f32", "tf32", "bf16", "f16"},
                     "type of activations and of the weights beside them; the weights that are "
                     "trained stay f32; tf32: f32 whose products a GPU may round");
  options.add_choice("--optimiser", optimiser, {"sgd", "adamw"},
                     "SGD with momentum, or Adam with decoupled weight decay");
  options.add("--lr", lr, "highest learning rate; with adamw by default 0.001");
  options.add("--weight-decay", weight_decay, "per step; with adamw by default 0.01, times --lr");
  options.add_flag("--decay-norm", decay_norm, "weight decay of biases and norm layers too");
  options.add("--momentum", momentum, "of sgd");
  options.add_flag("--nesterov", nesterov, "Nesterov's form of the momentum");
  options.add("--beta1", beta1, "of adamw: decay of the mean gradient");
  options.add("--beta2", beta2, "of adamw: decay of the mean squared gradient");
  options.add("--adam-eps", adam_eps, "of adamw: added to the root of that");
  options.add_choice("--schedule", schedule, {"cosine", "step", "constant"},
                     "course of the learning rate");
  options.add("--warmup", warmup, "steps of linear warm-up; -1: a twentieth of all", -1);
  options.add("--accumulate", accumulate, "batches whose gradients make one step", 1, most_steps);
  options.add("--clip-norm", clip_norm, "bound on the norm of the gradient; 0: none");
  options.add("--label-smoothing", label_smoothing, "share of the target given to all classes");
  options.add("--mixup", mixup, "mix pairs of clips by shares of Beta(X, X); 0: none");
  options.add("--ema", ema,
              "evaluate and keep as best an average of the weights with this decay per step, as in "
              "0.999; 0: the weights themselves");
  options.add("--precise-bn", precise_bn,
              "batches that batch norm's statistics are measured on before each evaluation; 0: "
              "running averages");
  options.add("--patience", patience, "epochs without a better one that end the run; 0: none do");
  options.add_flag("--checkpoint-activations", checkpoint_activations,
                   "keep what goes into each block alone and compute the rest again: less memory, "
                   "about a third more work, the same result");
}

void LearningSettings::settle(const Options& given) {
  const bool adamw = optimiser == "adamw";
  if (adamw && !given.given("--lr")) lr = 1e-3;
  if (adamw && !given.given("--weight-decay")) weight_decay = 1e-2;
  for (const char* name : {"--momentum", "--nesterov"})
    usage(!adamw || !given.given(name), name, " belongs to --optimiser sgd");
  for (const char* name : {"--beta1", "--beta2", "--adam-eps"})
    usage(adamw || !given.given(name), name, " belongs to --optimiser adamw");
  usage(label_smoothing <= 1, "--label-smoothing must be at most 1, got ", label_smoothing);
  usage(momentum < 1, "--momentum must be below 1, got ", momentum);
  usage(beta1 < 1, "--beta1 must be below 1, got ", beta1);
  usage(beta2 < 1, "--beta2 must be below 1, got ", beta2);
  usage(ema < 1, "--ema must be below 1, got ", ema);
}

std::unique_ptr<optim::Optimiser> LearningSettings::make_optimiser(
    optim::ParameterArena& arena) const {
  if (optimiser == "adamw")
    return std::make_unique<optim::AdamW>(
        arena,
        engine::AdamWOptions{
            .beta1 = beta1, .beta2 = beta2, .eps = adam_eps, .weight_decay = weight_decay},
        decay_norm);
  return std::make_unique<optim::Sgd>(
      arena,
      engine::SgdOptions{.momentum = momentum, .nesterov = nesterov, .weight_decay = weight_decay},
      decay_norm);
}

std::unique_ptr<optim::Ema> LearningSettings::make_ema(const engine::nn::Module& network,
                                                       const optim::ParameterArena& arena) const {
  return ema > 0 ? std::make_unique<optim::Ema>(network, arena, ema) : nullptr;
}

optim::Schedule LearningSettings::schedule_for(int64_t steps) const {
  using optim::Schedule;
  Schedule s{.rate = lr,
             .milestones = {steps / 2, steps * 3 / 4},
             .steps = steps,
             .warmup = warmup < 0 ? steps / 20 : warmup};
  if (schedule == "step") s.kind = Schedule::Kind::step;
  if (schedule == "cosine") s.kind = Schedule::Kind::cosine;
  s.check();
  return s;
}

void LearningSettings::apply(engine::train::TrainOptions& options) const {
  options.loss.label_smoothing = label_smoothing;
  options.mixup = mixup;
  options.clip_norm = clip_norm;
  options.accumulate = accumulate;
  options.precise_bn = precise_bn;
  options.patience = patience;
}

}  // namespace kinema::tools
