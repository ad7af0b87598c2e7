#include "engine/train/feed.h"
#include <utility>

namespace kinema::engine::train {

FedBatch Feed::bring(video::Batch batch) {
  FedBatch fed{std::exchange(batch.clips, {}), batch.labels, batch.targets, {}};
  fed.host = std::move(batch);
  return fed;
}

}  // namespace kinema::engine::train
