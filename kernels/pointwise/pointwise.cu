#include "kernels/device/block_value.h"
#include "kernels/device/map.h"
#include "kernels/pointwise/dropout_mask.cuh"
#include "kernels/pointwise/pointwise.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::pointwise {

// Packs of every tensor that a thread has in flight: 64 bytes of loads in all.
constexpr int rounds_of_one = 4, rounds_of_two = 2;

/// Within 3 ulp: expf errs by 1, the quotient by 2. Below -88 e^-x is infinite and the result 0.
KERNELS_INLINE float sigmoid_of(float x) { return __fdividef(1.f, 1.f + expf(-x)); }

/// y = f(x...), or += where y is read.
template <int N, int Rounds, class F, class Y, class... X>
KERNELS_INLINE void combine(const Walk& walk, const F& f, const Y& y, const X&... x) {
  const bool accumulate = y.read();
  map_floats<N, Rounds>(
      walk,
      [&](float before, auto... value) {
        const float result = f(value...);
        return accumulate ? before + result : result;
      },
      y, x...);
}

/// Each pass reads its inputs once, and y where it adds to it; writes y once.
template <class T, int N>
__global__ void __launch_bounds__(map_threads)
    forward_kernel(Walk walk, Unary u, Output<T> y, Input<T> x) {
  constexpr int rounds = rounds_of_one;
  switch (u) {
    case Unary::relu:
      return combine<N, rounds>(
          walk, [](float v) { return v < 0 ? 0 : v; }, y, x);
    case Unary::sigmoid:
      return combine<N, rounds>(
          walk, [](float v) { return sigmoid_of(v); }, y, x);
    case Unary::tanh:
      return combine<N, rounds>(
          walk, [](float v) { return tanhf(v); }, y, x);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(map_threads)
    grad_kernel(Walk walk, Unary u, InOut<T> dx, Input<T> y, Input<T> dy) {
  constexpr int rounds = rounds_of_two;
  switch (u) {
    case Unary::relu:
      return combine<N, rounds>(
          walk, [](float v, float g) { return v > 0 ? g : 0; }, dx, y, dy);
    case Unary::sigmoid:
      return combine<N, rounds>(
          walk, [](float v, float g) { return g * v * (1 - v); }, dx, y, dy);
    case Unary::tanh:
      return combine<N, rounds>(
          walk, [](float v, float g) { return g * (1 - v * v); }, dx, y, dy);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(map_threads)
    add_kernel(Walk walk, Output<T> y, Input<T> a, Input<T> b) {
  combine<N, rounds_of_two>(
      walk, [](float p, float q) { return p + q; }, y, a, b);
}

template <class T, int N>
__global__ void __launch_bounds__(map_threads)
    multiply_kernel(Walk walk, InOut<T> y, Input<T> a, Input<T> b) {
  combine<N, rounds_of_two>(
      walk, [](float p, float q) { return p * q; }, y, a, b);
}

template <class T, int N>
__global__ void __launch_bounds__(map_threads)
    scale_kernel(Walk walk, float factor, Output<T> y, Input<T> x) {
  combine<N, rounds_of_one>(
      walk, [factor](float v) { return factor * v; }, y, x);
}

/// What is dropped is 0 whatever x holds. Ten Philox rounds an element of four make this the one
/// kernel here that arithmetic may bind.
template <class T, int N>
__global__ void __launch_bounds__(map_threads)
    dropout_kernel(Walk walk, DropoutOptions o, DropoutMask mask, const int64_t* step, InOut<T> y,
                   Input<T> x) {
  mask.stream =
      block_value<uint64_t>([&] { return stream_of_draw(o.call, uint64_t(*step), o.place); });
  const bool accumulate = y.read();
  map<N, rounds_of_two>(
      walk,
      [&]<int Lanes>(int64_t element, Pack<T, Lanes>& to, const Pack<T, Lanes>& from) {
        const uint32_t kept = mask.kept<Lanes>(element);
#pragma unroll
        for (int k = 0; k < Lanes; ++k) {
          const float value = kept >> k & 1 ? to_float(from.lane[k]) * mask.factor : 0.f;
          to.lane[k] = from_float<T>(accumulate ? to_float(to.lane[k]) + value : value);
        }
      },
      y, x);
}

void forward(Stream stream, Unary u, View x, View y) {
  check_pointwise(name_of(u), x, y);
  if (!y.size()) return;
  dispatch_activation(name_of(u), y.dtype, [&]<class T>(T) {
    walk_packs<pack_lanes<T>>({y, x}, [&](const Walk& walk, auto lanes) {
      launch("pointwise.forward", forward_kernel<T, lanes()>, walk.geometry(rounds_of_one), stream,
             walk, u, Output<T>(walk, y), Input<T>(walk, x));
    });
  });
}

void grad(Stream stream, Unary u, View y, View dy, View dx, bool accumulate) {
  check_pointwise(name_of(u), y, dy);
  check_pointwise(name_of(u), y, dx);
  if (!dx.size()) return;
  dispatch_activation(name_of(u), dx.dtype, [&]<class T>(T) {
    walk_packs<pack_lanes<T>>({dx, y, dy}, [&](const Walk& walk, auto lanes) {
      launch("pointwise.grad", grad_kernel<T, lanes()>, walk.geometry(rounds_of_two), stream, walk,
             u, InOut<T>(walk, dx, accumulate), Input<T>(walk, y), Input<T>(walk, dy));
    });
  });
}

void add(Stream stream, View a, View b, View y) {
  check_pointwise("add", a, b);
  check_pointwise("add", a, y);
  if (!y.size()) return;
  dispatch_activation("add", y.dtype, [&]<class T>(T) {
    walk_packs<pack_lanes<T>>({y, a, b}, [&](const Walk& walk, auto lanes) {
      launch("pointwise.add", add_kernel<T, lanes()>, walk.geometry(rounds_of_two), stream, walk,
             Output<T>(walk, y), Input<T>(walk, a), Input<T>(walk, b));
    });
  });
}

void multiply(Stream stream, View a, View b, View y, bool accumulate) {
  check_pointwise("multiply", a, b);
  check_pointwise("multiply", a, y);
  if (!y.size()) return;
  dispatch_activation("multiply", y.dtype, [&]<class T>(T) {
    walk_packs<pack_lanes<T>>({y, a, b}, [&](const Walk& walk, auto lanes) {
      launch("pointwise.multiply", multiply_kernel<T, lanes()>, walk.geometry(rounds_of_two),
             stream, walk, InOut<T>(walk, y, accumulate), Input<T>(walk, a), Input<T>(walk, b));
    });
  });
}

void scale(Stream stream, double factor, View x, View y) {
  check_pointwise("scale", x, y);
  if (!y.size()) return;
  dispatch_activation("scale", y.dtype, [&]<class T>(T) {
    walk_packs<pack_lanes<T>>({y, x}, [&](const Walk& walk, auto lanes) {
      launch("pointwise.scale", scale_kernel<T, lanes()>, walk.geometry(rounds_of_one), stream,
             walk, float(factor), Output<T>(walk, y), Input<T>(walk, x));
    });
  });
}

void dropout(Stream stream, const DropoutOptions& o, View step, View x, View y, bool accumulate) {
  check_dropout(o, step, x, y);
  if (!y.size()) return;
  dispatch_activation("dropout", y.dtype, [&]<class T>(T) {
    walk_packs<pack_lanes<T>>({y, x}, [&](const Walk& walk, auto lanes) {
      launch("pointwise.dropout", dropout_kernel<T, lanes()>, walk.geometry(rounds_of_two), stream,
             walk, o, DropoutMask(o, 0), data<const int64_t>(step), InOut<T>(walk, y, accumulate),
             Input<T>(walk, x));
    });
  });
}

// Instantiations of each kernel: f32, bf16, f16; in packs of 16 bytes and of one element.

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::pointwise

namespace kinema::kernels {

const Pointwise KERNELS_DEVICE(pointwise) = {.forward = device::pointwise::forward,
                                             .grad = device::pointwise::grad,
                                             .add = device::pointwise::add,
                                             .multiply = device::pointwise::multiply,
                                             .scale = device::pointwise::scale,
                                             .dropout = device::pointwise::dropout};

}  // namespace kinema::kernels
