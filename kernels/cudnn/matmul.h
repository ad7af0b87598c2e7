#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"

namespace kinema::kernels::cudnn {

/// A product of matrices [rows,columns] of any pitch:
///   c = relu(op(a) op(b) + bias + (accumulate ? c : 0)),  op transposing where that is asked for
/// a and b have one type, f32, bf16 or f16; c has it too, or is f32. No axis is empty.
struct Product {
  View a, b, c;
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;
  View bias = {};     ///< a number of c's type for each of its columns; not given: none
  bool relu = false;  ///< whether a NaN passes is not documented
  bool tf32 = false;  ///< factors of f32 may be rounded to TF32
};

/// By cuBLASLt, sums in f32: the first algorithm that its heuristic names of those that give the
/// same bits each time, with a workspace of at most 32 MB. Split sums are added up in f32 in a
/// fixed order or not at all. Unsupported where it names none.
void multiply(const char* what, Stream, const Product&);

}  // namespace kinema::kernels::cudnn
