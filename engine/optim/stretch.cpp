#include "engine/optim/stretch.h"
#include "engine/ops/views.h"

namespace kinema::engine::optim {

Tensor Stretch::of(const Tensor& flat) const { return flat ? slice(flat, 0, start, length) : flat; }

std::vector<Stretch> stretches(const ParameterArena& arena, bool decay_vectors) {
  const int64_t size = arena.values().size();
  if (decay_vectors || arena.count() == 0) return {{0, size, true}};
  std::vector<Stretch> all;
  for (size_t i = 0; i < arena.count(); ++i) {
    const bool decays = arena.part(arena.values(), i).rank() > 1;
    const int64_t end = i + 1 < arena.count() ? arena.start(i + 1) : size;
    if (all.empty() || all.back().decays != decays) all.push_back({arena.start(i), 0, decays});
    all.back().length = end - all.back().start;
  }
  return all;
}

}  // namespace kinema::engine::optim
