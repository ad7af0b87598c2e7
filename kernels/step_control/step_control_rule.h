#pragma once
#include "kernels/base/update.h"
#include "kernels/step_control/step_control_options.h"

namespace kinema::kernels {

// The arithmetic of all backends: some numbers, of which no second way to compute them would say
// more than the test that holds each against its value.

constexpr bool finite(double v) { return v - v == 0; }

constexpr void begin_batch(const StepBatch& b, StepNumbers& s, int64_t& draw, float* factors) {
  if (b.first) {
    s.rate = b.rate;
    s.average_share = b.average_share;
    s.unit = b.clips;
    s.clips = s.batches = s.loss_sum = s.squared_norm = s.bad_batch = 0;
  }
  s.batch_clips = b.clips;
  s.clips += b.clips;
  s.batches += 1;
  draw = b.draw;
  factors[0] = float(s.loss_scale * b.clips / s.unit);
  factors[1] = float(b.mix_share);
  factors[2] = float(1 - b.mix_share);
}

/// An overflow under a loss scale that can still be halved is no fault.
constexpr void add_batch(const StepControlOptions& o, double loss, StepNumbers& s) {
  s.loss_sum += loss * s.batch_clips;
  const bool good = finite(loss) && (finite(s.squared_norm) || s.loss_scale > o.least_scale);
  if (!good && s.bad_batch == 0) s.bad_batch = s.batches;
}

constexpr void move_scale(const StepControlOptions& o, bool overflow, StepNumbers& s) {
  if (overflow) {
    s.loss_scale = s.loss_scale / 2 > o.least_scale ? s.loss_scale / 2 : o.least_scale;
    s.good_steps = 0;
    s.skipped_steps += 1;
  } else if (++s.good_steps == o.patience) {
    s.loss_scale = s.loss_scale * 2 < o.most_scale ? s.loss_scale * 2 : o.most_scale;
    s.good_steps = 0;
  }
}

/// `norm` is the root of s.squared_norm.
constexpr void decide_step(const StepControlOptions& o, double norm, StepNumbers& s, int64_t& steps,
                           Update& u) {
  if (s.bad_batch > 0) s.stopped = 1;
  const bool applied = s.stopped == 0 && finite(norm);
  const double mean = s.unit / s.clips / s.loss_scale;
  norm *= mean;
  u.rate = s.rate;
  u.factor = o.clip_norm > 0 && norm > o.clip_norm ? mean * (o.clip_norm / norm) : mean;
  u.apply = applied;
  steps += applied;
  u.number = double(steps);
  s.norm = applied ? norm : __builtin_nan("");
  s.applied = applied;
  s.average = applied ? s.average_share : 0;
  s.put_back = 1 - s.applied;
  if (o.scales && s.stopped == 0) move_scale(o, !applied, s);
}

constexpr void next_update(double rate, int64_t& steps, Update& u) {
  u = {.rate = rate, .factor = 1, .apply = 1, .number = double(++steps)};
}

}  // namespace kinema::kernels
