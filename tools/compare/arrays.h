#pragma once
#include <memory>
#include "kernels/base/runtime.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

/// A tensor on the host with its memory.
struct Array {
  View view;
  std::shared_ptr<std::vector<char>> memory;

  /// All bits set: what a producer must overwrite.
  explicit Array(const View& layout);
  Array clone() const;
};

/// How an operand lies in a backend's memory: as fresh tensors do; for cudnn, which would repack
/// rows with zero lanes, densely.
View layout_of(const Operand&, Backend);

/// What a trial's operands hold before it runs, rounded to their types: the same on every run, and
/// for each layout. Outputs are poisoned.
std::vector<Array> operands_of(const Trial&, Backend);

/// The same numbers in f64; integers stay what they are.
Array widened(const Array&);

/// max|got - wanted| / max|wanted|; infinite where only one of two is NaN, or infinities differ.
/// 0 of nothing.
double error_of(const View& got, const View& wanted);

/// Where a backend computes; null: on the host.
const kernels::Runtime* runtime_of(Backend);

/// Arrays in the memory of a backend.
class Tensors {
 public:
  Tensors(const std::vector<Array>&, Backend);
  const Views& views() const { return views_; }
  /// Waits for what has been started, and copies.
  std::vector<Array> download() const;

 private:
  const kernels::Runtime* runtime_;
  std::vector<Array> host_;
  std::vector<std::shared_ptr<void>> device_;
  Views views_;
};

}  // namespace kinema::tools::compare
