#pragma once
#include <string>

namespace kinema::engine {

/// Names what this thread puts into the GPU's queues while it lives, for profilers (NVTX). Nothing
/// without a GPU, or a name.
class ProfiledRange {
 public:
  explicit ProfiledRange(const std::string& name);
  ~ProfiledRange();
  ProfiledRange(const ProfiledRange&) = delete;
  ProfiledRange& operator=(const ProfiledRange&) = delete;

 private:
  bool open_;
};

}  // namespace kinema::engine
