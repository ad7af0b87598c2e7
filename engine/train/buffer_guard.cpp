#include "engine/train/buffer_guard.h"
#include "engine/ops/copy.h"

namespace kinema::engine::train {

BufferGuard::BufferGuard(const nn::Module& module) {
  for (const nn::NamedTensor& b : module.buffers()) {
    before_.emplace_back(*b.tensor, empty_like(*b.tensor));
    copy(*b.tensor, before_.back().second);
  }
}

BufferGuard::~BufferGuard() { put_back(); }

void BufferGuard::put_back() const {
  for (const auto& [buffer, copied] : before_) copy(copied, buffer);
}

}  // namespace kinema::engine::train
