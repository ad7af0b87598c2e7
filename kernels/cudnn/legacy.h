#pragma once
#include "kernels/base/view.h"
#include "kernels/cudnn/library.h"

// What operations share that cuDNN has no graph of: descriptors of its older functions.

namespace kinema::kernels::cudnn {

/// Owns a descriptor of the older functions.
template <class T, auto create, auto destroy>
class Legacy {
 public:
  Legacy() { check_cudnn((library().*create)(&value_), "cuDNN"); }
  ~Legacy() { (library().*destroy)(value_); }
  Legacy(const Legacy&) = delete;
  Legacy& operator=(const Legacy&) = delete;
  T get() const { return value_; }

 private:
  T value_ = nullptr;
};

/// The rows of a view [...,C] as [N,C,H,W], channels last. Unsupported: rows that do not lie at one
/// pitch; sizes of 2^31 and more.
class RowsOf {
 public:
  RowsOf(const char* op, const View& v);
  cudnnTensorDescriptor_t get() const { return descriptor_.get(); }

 private:
  Legacy<cudnnTensorDescriptor_t, &Cudnn::cudnnCreateTensorDescriptor,
         &Cudnn::cudnnDestroyTensorDescriptor>
      descriptor_;
};

/// Throws Unsupported where cuDNN does not take what it was given, in its words; Error for all
/// else.
void check_offered(cudnnStatus_t, const char* what, const char* op);

}  // namespace kinema::kernels::cudnn
