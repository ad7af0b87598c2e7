#pragma once
#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>
#include "kernels/cudnn/library.h"

// The backend API of cuDNN (cudnn_graph.h): descriptors with attributes, which become fixed.

namespace kinema::kernels::cudnn {

/// What the API calls T in an attribute.
template <class T>
constexpr cudnnBackendAttributeType_t attribute_type() {
  if constexpr (std::is_same_v<T, int64_t>) return CUDNN_TYPE_INT64;
  if constexpr (std::is_same_v<T, int32_t>) return CUDNN_TYPE_INT32;
  if constexpr (std::is_same_v<T, float>) return CUDNN_TYPE_FLOAT;
  if constexpr (std::is_same_v<T, bool>) return CUDNN_TYPE_BOOLEAN;
  if constexpr (std::is_same_v<T, char>) return CUDNN_TYPE_CHAR;
  if constexpr (std::is_same_v<T, void*>) return CUDNN_TYPE_VOID_PTR;
  if constexpr (std::is_same_v<T, cudnnHandle_t>) return CUDNN_TYPE_HANDLE;
  if constexpr (std::is_same_v<T, cudnnDataType_t>) return CUDNN_TYPE_DATA_TYPE;
  if constexpr (std::is_same_v<T, cudnnConvolutionMode_t>) return CUDNN_TYPE_CONVOLUTION_MODE;
  if constexpr (std::is_same_v<T, cudnnPointwiseMode_t>) return CUDNN_TYPE_POINTWISE_MODE;
  if constexpr (std::is_same_v<T, cudnnResampleMode_t>) return CUDNN_TYPE_RESAMPLE_MODE;
  if constexpr (std::is_same_v<T, cudnnPaddingMode_t>) return CUDNN_TYPE_PADDING_MODE;
  if constexpr (std::is_same_v<T, cudnnNanPropagation_t>) return CUDNN_TYPE_NAN_PROPOGATION;
  if constexpr (std::is_same_v<T, cudnnFraction_t>) return CUDNN_TYPE_FRACTION;
  if constexpr (std::is_same_v<T, cudnnBackendNormMode_t>) return CUDNN_TYPE_NORM_MODE;
  if constexpr (std::is_same_v<T, cudnnBackendNormFwdPhase_t>) return CUDNN_TYPE_NORM_FWD_PHASE;
  if constexpr (std::is_same_v<T, cudnnBackendHeurMode_t>) return CUDNN_TYPE_HEUR_MODE;
  if constexpr (std::is_same_v<T, cudnnBackendKnobType_t>) return CUDNN_TYPE_KNOB_TYPE;
  if constexpr (std::is_same_v<T, cudnnBackendNumericalNote_t>) return CUDNN_TYPE_NUMERICAL_NOTE;
  if constexpr (std::is_same_v<T, cudnnBackendBehaviorNote_t>) return CUDNN_TYPE_BEHAVIOR_NOTE;
}

/// Owns a descriptor. Errors, of every function: what cuDNN refuses, in its words.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t);
  ~Descriptor();
  Descriptor(Descriptor&& from) noexcept : value_(std::exchange(from.value_, nullptr)) {}
  Descriptor& operator=(Descriptor&& from) noexcept {
    std::swap(value_, from.value_);
    return *this;
  }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set(name, attribute_type<T>(), int64_t(values.size()), values.data());
    return *this;
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const T& value) {
    return set(name, std::span<const T>(&value, 1));
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value);
  Descriptor& set_descriptors(cudnnBackendAttributeName_t name,
                              std::span<const cudnnBackendDescriptor_t> values);

  /// Fixes the attributes.
  Descriptor& finalize();
  /// Likewise; says whether cuDNN did.
  bool finalizes();

  /// At most `most` values of an attribute.
  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, int64_t most) const {
    std::vector<T> values(static_cast<size_t>(most));
    values.resize(size_t(get(name, attribute_type<T>(), most, values.data())));
    return values;
  }
  template <class T>
  T get(cudnnBackendAttributeName_t name) const {
    T value{};
    get(name, attribute_type<T>(), 1, &value);
    return value;
  }
  /// Descriptors of one type that an attribute consists of, at most `most`.
  std::vector<Descriptor> get(cudnnBackendAttributeName_t, cudnnBackendDescriptorType_t,
                              int64_t most) const;
  /// How many values an attribute has.
  int64_t count(cudnnBackendAttributeName_t, cudnnBackendAttributeType_t) const;

  cudnnBackendDescriptor_t value() const { return value_; }

 private:
  void set(cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t count, const void*);
  int64_t get(cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t most, void*) const;
  cudnnBackendDescriptor_t value_ = nullptr;
};

}  // namespace kinema::kernels::cudnn
