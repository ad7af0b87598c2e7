#pragma once
#include <map>
#include "kernels/cudnn/plan.h"

namespace kinema::kernels::cudnn {

/// A thread's plans by what they depend on beside the GPU. Plans hold memory of the host that cuDNN
/// does not give back (about 200 KB each, pytorch#104701), so their number is bounded: of keys, the
/// one that was not used for longest goes.
template <class Key>
class PlanCache {
 public:
  /// The plan of this rank, 0 the best; null where there are fewer. `make(count)` gives the best
  /// `count` plans, and is called at a key's first use, and when a higher rank is asked for.
  template <class Make>
  const Plan* find(const Key& key, int64_t rank, const Make& make) {
    Entry& e = entry_of(key);
    e.used = ++time_;
    if (e.asked <= rank) {
      e.asked = rank + 1;
      e.plans = make(e.asked);
    }
    return rank < int64_t(e.plans.size()) ? &e.plans[size_t(rank)] : nullptr;
  }

 private:
  struct Entry {
    std::vector<Plan> plans;
    int64_t asked = 0, used = 0;
  };
  static constexpr size_t most = 512;

  Entry& entry_of(const Key& key) {
    if (entries_.size() >= most && !entries_.contains(key))
      entries_.erase(std::ranges::min_element(entries_, {},
                                              [](const auto& entry) { return entry.second.used; }));
    return entries_[key];
  }
  std::map<Key, Entry> entries_;
  int64_t time_ = 0;
};

}  // namespace kinema::kernels::cudnn
