#pragma once
#include <string>
#include "engine/tensor.h"

namespace kinema::engine::video {

/// The bytes of a PNG file of one picture, u8 [1,1,H,W,3].
std::string encode_png(const View& picture);

/// The bytes of a GIF file that plays the frames u8 [1,T,H,W,3] in a loop without end, each for
/// `seconds` (in hundredths, at least two: viewers take less as a tenth). One palette of 256
/// colours for all frames, chosen from them, and ordered dithering, which does not flicker:
/// FFmpeg's filters palettegen and paletteuse. Errors: no frame; more than 65535 pixels along a
/// side.
std::string encode_gif(const View& frames, double seconds);

/// u8 [1,T,H,W,3] from `pictures` f32 [1,T,H,W,3]: 255 * value rounded, values outside of [0, 1]
/// taken to its ends, NaN to 0.
Tensor to_bytes(const View& pictures);

}  // namespace kinema::engine::video
