#pragma once

namespace kinema::engine {

/// Whether products of f32 that this thread begins may round their factors to TF32 (8 bits of
/// exponent, 10 of mantissa) and use tensor cores; sums stay f32. The backward pass does as its
/// forward pass did. Only GPUs know TF32. Source: NVIDIA A100 whitepaper, section "TF32".
bool tf32_mode();

/// Allows TF32 on this thread while it lives.
class Tf32Scope {
 public:
  Tf32Scope();
  ~Tf32Scope();
  Tf32Scope(const Tf32Scope&) = delete;
  Tf32Scope& operator=(const Tf32Scope&) = delete;

 private:
  bool before_;
};

}  // namespace kinema::engine
