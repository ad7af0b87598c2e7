#include "kernels/cudnn/descriptor.h"

namespace kinema::kernels::cudnn {

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check_cudnn(library().cudnnBackendCreateDescriptor(type, &value_), "cuDNN's descriptor");
}

Descriptor::~Descriptor() {
  if (value_) library().cudnnBackendDestroyDescriptor(value_);
}

void Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                     int64_t count, const void* values) {
  check_cudnn(library().cudnnBackendSetAttribute(value_, name, type, count, values),
              "cuDNN's attribute");
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) {
  return set_descriptors(name, std::span<const cudnnBackendDescriptor_t>(&value.value_, 1));
}

Descriptor& Descriptor::set_descriptors(cudnnBackendAttributeName_t name,
                                        std::span<const cudnnBackendDescriptor_t> values) {
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, int64_t(values.size()), values.data());
  return *this;
}

Descriptor& Descriptor::finalize() {
  check_cudnn(library().cudnnBackendFinalize(value_), "cuDNN's descriptor");
  return *this;
}

bool Descriptor::finalizes() {
  return library().cudnnBackendFinalize(value_) == CUDNN_STATUS_SUCCESS;
}

int64_t Descriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                        int64_t most, void* values) const {
  int64_t count = 0;
  check_cudnn(library().cudnnBackendGetAttribute(value_, name, type, most, &count, values),
              "cuDNN's attribute");
  return std::min(count, most);
}

std::vector<Descriptor> Descriptor::get(cudnnBackendAttributeName_t name,
                                        cudnnBackendDescriptorType_t type, int64_t most) const {
  // cuDNN fills descriptors that the caller has made.
  std::vector<Descriptor> all;
  std::vector<cudnnBackendDescriptor_t> values;
  for (int64_t i = 0; i < most; ++i) {
    all.emplace_back(type);
    values.push_back(all.back().value_);
  }
  const int64_t count = get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, values.data());
  all.erase(all.begin() + count, all.end());
  return all;
}

int64_t Descriptor::count(cudnnBackendAttributeName_t name,
                          cudnnBackendAttributeType_t type) const {
  int64_t count = 0;
  check_cudnn(library().cudnnBackendGetAttribute(value_, name, type, 0, &count, nullptr),
              "cuDNN's attribute");
  return count;
}

}  // namespace kinema::kernels::cudnn
