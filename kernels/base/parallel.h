#pragma once
#include <omp.h>
#include <algorithm>
#include <cstdint>
#include <exception>

namespace kinema::kernels {

/// f(begin, end) over [0, count) on all cores, in contiguous parts of at least `grain`. Parts write
/// to different places, so the result does not depend on the number of threads. What f throws is
/// rethrown here.
template <class F>
void parallel_for(int64_t count, int64_t grain, const F& f) {
  if (count <= 0) return;
  const int64_t most = (count + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
  const int threads = int(std::min<int64_t>(omp_get_max_threads(), most));
  if (threads <= 1 || omp_in_parallel()) return f(int64_t(0), count);
  std::exception_ptr thrown;
#pragma omp parallel num_threads(threads)
  {
    const int64_t id = omp_get_thread_num(), all = omp_get_num_threads();
    try {
      if (count * id / all < count * (id + 1) / all) f(count * id / all, count * (id + 1) / all);
    } catch (...) {
#pragma omp critical(kinema_parallel_for)
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace kinema::kernels
