#pragma once
#include "kernels/base/runtime.h"
#include "kernels/base/view.h"

namespace kinema::kernels::cudnn {

/// Memory of this thread's GPU for one pass, in the order of the stream. Errors: a program without
/// CUDA kernels; memory that runs out.
class Workspace {
 public:
  Workspace(Stream stream, int64_t bytes) : stream_(stream), bytes_(bytes) {
    check(&runtime_cuda, "cudnn: this program was built without CUDA");
    if (bytes > 0) memory_ = runtime_cuda.take_workspace(stream, bytes);
  }
  ~Workspace() {
    if (memory_) runtime_cuda.give_workspace(stream_, memory_, bytes_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return memory_; }

 private:
  Stream stream_;
  int64_t bytes_ = 0;
  void* memory_ = nullptr;
};

}  // namespace kinema::kernels::cudnn
