#pragma once
#include "kernels/base/number.h"

namespace kinema::kernels {

/// What a step of an optimiser reads in memory of its device, f64 [4].
struct Update {
  static constexpr int64_t size = 4;

  double rate = 0;    ///< learning rate
  double factor = 1;  ///< on the gradients: what undoes a loss scale, means and clips them
  double apply = 1;   ///< 0: the step changes nothing, whatever the gradients hold
  double number = 0;  ///< of this step, counted from 1 over the run
};
static_assert(sizeof(Update) == Update::size * sizeof(double));

inline void check_update(const char* op, const View& update) {
  check_number(op, "the update", update, Dtype::f64, Update::size);
}

/// That of a checked view.
inline const Update* update_of(const View& v) {
  return static_cast<const Update*>(static_cast<const void*>(v.data));
}

}  // namespace kinema::kernels
