#pragma once
#include "engine/random.h"
#include "engine/train/loss.h"

namespace kinema::engine::train {

/// A draw of the Beta(alpha, alpha) distribution, alpha > 0, from the stream `key`: the share of
/// one of two gamma variates in their sum. Source: Marsaglia and Tsang, ACM TOMS 26 (2000) 363,
/// with their section 6 for alpha below 1.
double draw_beta(double alpha, RandomKey key);

struct Mixture {
  Tensor clips;
  Targets targets;   ///< but for their weights
  double share = 1;  ///< of a clip and its label
};

/// Mixup: one share ~ Beta(alpha, alpha) for the batch, clip n becomes share * clip n +
/// (1 - share) * clip p(n) for a random permutation p; labels go along. alpha = 0 mixes nothing and
/// draws nothing. Draws next_key("mixup"), so it must run inside a RandomScope.
/// Source: Zhang et al., arXiv:1710.09412, section 2.
/// Waits for no device: the host draws.
/// Errors: alpha below 0; no RandomScope.
Mixture mixup(const Tensor& clips, const Tensor& labels, double alpha);

}  // namespace kinema::engine::train
