#pragma once
#include <array>
#include <nlohmann/json_fwd.hpp>
#include "engine/data/sampling.h"
#include "engine/ops/clip_transform.h"

namespace kinema::engine::video {

/// From video to clip: what is sampled, cut and normalised. Stored with checkpoints.
struct Recipe {
  int64_t frames = 20;       ///< frames of a clip
  int64_t frame_stride = 1;  ///< video frames from one clip frame to the next
  int64_t short_side = 0;    ///< resize the shorter side to this, pixels; 0: keep the size
  int64_t height = 64;       ///< of the crop, pixels
  int64_t width = 64;
  bool random_crop = true;  ///< in training; else the centre
  /// In training the crop shows a part of the frame scaled to its size, instead of cutting at the
  /// frame's own: its area is drawn from `area` (shares of the frame), its aspect (width / height,
  /// by its logarithm) from `aspect`. Szegedy et al., arXiv:1409.4842, section 6, as torchvision's
  /// RandomResizedCrop.
  bool resized_crop = false;
  std::array<double, 2> area{0.08, 1}, aspect{3. / 4, 4. / 3};
  /// In training the crop is cut from frames whose short side is drawn from [first, second] pixels;
  /// {0, 0}: it is short_side. Simonyan and Zisserman, arXiv:1409.1556, section 3.1.
  std::array<int64_t, 2> scale_jitter{0, 0};
  bool flip = false;  ///< mirror half of the clips in training; wrong where left is a class
  /// In training brightness, contrast and saturation are multiplied by a factor within 1 +- these,
  /// at least 0; the hue is turned by up to the fourth, in turns (at most 0.5). In drawn order.
  std::array<double, 4> colour_jitter{0, 0, 0, 0};
  bool loop = true;  ///< a video shorter than a clip is played again and again; else it is refused
  std::array<double, 3> mean{0.5, 0.5, 0.5};  ///< of red, green, blue in [0, 1]
  std::array<double, 3> deviation{0.25, 0.25, 0.25};
  int64_t clips = 1;  ///< in testing: clips a video,
  int64_t crops = 1;  ///< and crops a clip

  int64_t views() const { return clips * crops; }
  bool operator==(const Recipe&) const = default;
};

void to_json(nlohmann::json& j, const Recipe& r);
/// Fields that are missing keep their defaults. Errors: an unknown field.
void from_json(const nlohmann::json& j, Recipe& r);

/// Throws Error unless every field makes sense.
void check_recipe(const Recipe& r);

/// The size that frames of `source` are scaled to before the crop: the short side as the recipe
/// says, the aspect kept to the nearest pixel; scaled up further where the crop would not fit.
FrameSize resized(FrameSize source, const Recipe& r);

using engine::ColourChange;

/// Which part of which frames becomes one row of a batch.
struct ViewPlan {
  std::vector<int64_t> frames = {};
  Corner corner = {};
  bool mirrored = false;
  FrameSize window = {};  ///< what is cut out and scaled to the crop; 0 x 0: of the crop's own size
  ColourChange colour = {};
};

/// Errors, of both: a video shorter than a clip where the recipe does not loop.
/// The view of a training step, by the sample's draws; `size` is that of the resized frames.
ViewPlan training_view(int64_t total, FrameSize size, const Recipe& r, RandomKey key);

/// View `view` of r.views(): clip view / crops, crop view % crops.
ViewPlan testing_view(int64_t total, FrameSize size, const Recipe& r, int64_t view);

/// to[0,0,y,x,c] = (from[0,0,corner.y+y, corner.x+x, c] / 255 - mean[c]) / deviation[c], mirrored
/// in x on request. from: u8 [1,1,H,W,3], already resized; to: f32 [1,1,height,width,3]; pixels
/// dense in both. On the calling thread alone.
void normalise(const View& from, const Recipe& r, Corner corner, bool mirrored, const View& to);

}  // namespace kinema::engine::video
