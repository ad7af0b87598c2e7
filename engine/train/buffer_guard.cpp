#include "engine/train/buffer_guard.h"
#include "engine/ops/copy.h"
#include "engine/ops/lerp.h"

namespace kinema::engine::train {

BufferGuard::BufferGuard(const nn::Module& module) {
  for (const nn::NamedTensor& b : module.buffers()) {
    before_.emplace_back(*b.tensor, empty_like(*b.tensor));
    copy(*b.tensor, before_.back().second);
  }
}

BufferGuard::~BufferGuard() {
  try {
    for (const auto& [buffer, copied] : before_) copy(copied, buffer);
  } catch (const Error&) {  // a device that is lost has lost them too
  }
}

void BufferGuard::settle(const Tensor& share) {
  for (const auto& [buffer, copied] : before_) lerp(share, copied, buffer);
  before_.clear();
}

}  // namespace kinema::engine::train
