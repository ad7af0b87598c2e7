#pragma once

namespace kinema::kernels {

struct LinearOptions {
  bool tf32 = false;  ///< factors of f32 may be rounded to 10 bits of mantissa: tensor cores' TF32
};

}  // namespace kinema::kernels
