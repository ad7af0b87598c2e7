#include "engine/train/read_back.h"
#include "engine/gpu.h"
#include "engine/ops/copy.h"

namespace kinema::engine::train {

namespace {

/// As bytes: both lie as fresh tensors do.
void download_later(const Tensor& from, const Tensor& to) {
  const int64_t bytes = kernels::span(to.layout) * kernels::size_of(to.dtype());
  if (bytes)
    gpu_runtime().download_later(current_stream(), contiguous(from).layout.data, to.layout.data,
                                 bytes);
}

}  // namespace

ReadBack::~ReadBack() {
  if (!event_.handle) return;
  try {
    wait();
  } catch (const Error&) {  // a device that is lost writes nothing any more
  }
  gpu_runtime().drop_event(event_);
}

void ReadBack::begin(const std::vector<Tensor>& tensors) {
  wait();
  host_.resize(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& from = tensors[i];
    const bool gpu = from.device() == Device::gpu;
    Tensor& to = host_[i];
    if (!to || to.shape() != from.shape() || to.dtype() != from.dtype())
      to = gpu ? empty_pinned(from.shape(), from.dtype())
               : empty(from.shape(), from.dtype(), Device::cpu);
    if (gpu) {
      download_later(from, to);
    } else {
      copy(from, to);
    }
    under_way_ |= gpu;
  }
  if (!under_way_) return;
  if (!event_.handle) event_ = gpu_runtime().make_event();
  gpu_runtime().record(event_, current_stream());
}

const std::vector<Tensor>& ReadBack::wait() {
  if (under_way_) gpu_runtime().wait_for(event_);
  under_way_ = false;
  return host_;
}

}  // namespace kinema::engine::train
