#pragma once
#include <vector>
#include "engine/optim/arena.h"

namespace kinema::engine::optim {

/// Neighbouring parameters of an arena that share one weight decay.
struct Stretch {
  int64_t start = 0, length = 0;  ///< in elements of the arena's memory
  bool decays = true;

  /// This part of `flat`, memory laid out as the arena's values(); not given where `flat` is not.
  Tensor of(const Tensor& flat) const;
};

/// The arena cut where weight decay ends or begins: matrices and filters decay, vectors (biases,
/// gains and shifts of norms) only with `decay_vectors`. Then it is one stretch.
/// Source: He et al., arXiv:1812.01187, section 3.1 "No bias decay".
std::vector<Stretch> stretches(const ParameterArena& arena, bool decay_vectors);

}  // namespace kinema::engine::optim
