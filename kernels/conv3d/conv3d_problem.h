#pragma once
#include <ostream>
#include <string>
#include "kernels/base/view.h"
#include "kernels/conv3d/conv3d_options.h"

namespace kinema::kernels {

/// A pass of a layer: what its plan depends on beside the GPU.
struct Conv3dProblem {
  Conv3dPass pass = Conv3dPass::forward;
  Conv3dOptions options = {};
  Shape x = {}, w = {};
  Dtype dtype = Dtype::f32;
  bool aligned = true;  ///< rows of the two tensors that it reads lie on multiples of 16 bytes
  /// Pixels of x and taps of w lie side by side, their rows (W, kw) on multiples of 16 bytes: as
  /// fresh tensors of at most 4 channels do, whose pixels are not aligned.
  bool frames = false;

  /// Whether tensor cores do its products: by mma.sync, of 16-bit factors or TF32.
  bool by_mma() const { return is_narrow(dtype) || options.tf32; }
};

/// The problem whose tensors lie as fresh ones do. Errors: shapes that do not fit together.
Conv3dProblem conv3d_fresh_problem(Conv3dPass, const Conv3dOptions&, const Shape& x, const Shape& w,
                                   Dtype);

/// Whether a and b are one layer's pass, however their tensors lie in memory.
bool same_layer(const Conv3dProblem& a, const Conv3dProblem& b);

/// A problem by its text, words between blanks:
///   forward 8,16,56,56,64 128,3,3,3,64 pad=1,1,1 type=bf16
/// is the pass, x [N,T,H,W,C], w [K,kt,kh,kw,C/G], and what is not as here of
///   stride=1,1,1  dilation=1,1,1  pad=0,0,0 (in front and behind)  pad_back=T,H,W (behind)
///   groups=1  type=bf16 (or f16, f32, tf32: f32 whose factors may be rounded)
/// Its tensors are fresh. Errors: a word that is none of these; shapes that do not fit together.
Conv3dProblem conv3d_problem_from(const std::string& text);
/// Such a text.
std::ostream& operator<<(std::ostream&, const Conv3dProblem&);

}  // namespace kinema::kernels
