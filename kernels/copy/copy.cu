#include "kernels/copy/copy.h"
#include "kernels/device/map.h"

namespace kinema::kernels::device::inline KERNELS_TWIN::copy {

/// Packs of both tensors that a thread has in flight: as many as its registers hold.
template <class T>
constexpr int rounds = sizeof(T) == 2 ? 2 : 3;

/// y = x of one type, of which only the size matters. Reads x once, writes y once.
template <class Word, int N>
__global__ void __launch_bounds__(map_threads)
    move_kernel(Walk walk, Output<Word> y, Input<Word> x) {
  map<N, 4>(
      walk, [](int64_t, auto& to, const auto& from) { to = from; }, y, x);
}

template <class Word, int N>
__global__ void __launch_bounds__(map_threads) fill_kernel(Walk walk, Word value, Output<Word> y) {
  map<N, 2>(
      walk,
      [value](int64_t, auto& to) {
#pragma unroll
        for (int k = 0; k < to.size; ++k) to.lane[k] = value;
      },
      y);
}

/// y = x, or += where y is read, from and to the types of activations, and from frames.
template <class Y, int N>
__global__ void __launch_bounds__(map_threads)
    cast_kernel(Walk walk, Dtype type, InOut<Y> y, Input<uint8_t> x) {
  const auto from = [&](const auto& typed) {
    const bool accumulate = y.read();
    map_floats<N, rounds<Y>>(
        walk, [=](float before, float v) { return accumulate ? before + v : v; }, y, typed);
  };
  switch (type) {
    case Dtype::f32:
      return from(x.as<float>());
    case Dtype::bf16:
      return from(x.as<bf16>());
    case Dtype::f16:
      return from(x.as<f16>());
    default:
      return from(x);
  }
}

/// v as the nearest Y, an integer by truncation.
template <class Y, class X>
KERNELS_INLINE Y converted(X v) {
  if constexpr (std::is_class_v<X>)
    return converted<Y>(to_float(v));
  else if constexpr (std::is_class_v<Y> && std::is_same_v<X, float>)
    return from_float<Y>(v);
  else
    return Y(v);
}

/// Element `at` of a tensor of any type.
template <class Y>
KERNELS_INLINE Y load_as(Dtype type, const void* x, int64_t at) {
  switch (type) {
    case Dtype::f32:
      return converted<Y>(static_cast<const float*>(x)[at]);
    case Dtype::f64:
      return converted<Y>(static_cast<const double*>(x)[at]);
    case Dtype::u8:
      return converted<Y>(static_cast<const uint8_t*>(x)[at]);
    case Dtype::i32:
      return converted<Y>(static_cast<const int32_t*>(x)[at]);
    case Dtype::i64:
      return converted<Y>(static_cast<const int64_t*>(x)[at]);
    case Dtype::bf16:
      return converted<Y>(static_cast<const bf16*>(x)[at]);
    case Dtype::f16:
      return converted<Y>(static_cast<const f16*>(x)[at]);
  }
  return Y{};
}

/// Any type to any other, element by element: for f64 and integers, which no hot path casts.
template <class Y>
__global__ void __launch_bounds__(map_threads)
    convert_kernel(Walk walk, Dtype type, InOut<Y> y, Input<uint8_t> x) {
  for (int64_t i = first_index(); i < walk.packs(); i += index_step()) {
    const Walk::Place place = walk.place(i);
    if (place.first >= walk.length()) {
      clear_lane(walk, place, y);
      continue;
    }
    const Y value = load_as<Y>(type, x.data, x.offset(walk, place));
    Y& to = y.data[y.offset(walk, place)];
    if constexpr (!std::is_class_v<Y>)
      to = y.read() ? Y(to + value) : value;
    else
      to = value;
  }
}

/// f with a zero of the unsigned integer of as many bytes as an element.
template <class F>
void dispatch_size(Dtype type, const F& f) {
  switch (size_of(type)) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

void move(Stream stream, const View& x, const View& y) {
  dispatch_size(y.dtype, [&]<class Word>(Word) {
    walk_packs<pack_lanes<Word>>({y, x}, [&](const Walk& walk, auto lanes) {
      launch("copy.forward", move_kernel<Word, lanes()>, walk.geometry(4), stream, walk,
             Output<Word>(walk, y), Input<Word>(walk, x));
    });
  });
}

void cast(Stream stream, const View& x, const View& y, bool accumulate) {
  dispatch_activation("copy", y.dtype, [&]<class Y>(Y) {
    walk_packs<pack_lanes<Y>>({y, x}, [&](const Walk& walk, auto lanes) {
      launch("copy.cast", cast_kernel<Y, lanes()>, walk.geometry(rounds<Y>), stream, walk, x.dtype,
             InOut<Y>(walk, y, accumulate), Input<uint8_t>(walk, x));
    });
  });
}

void convert(Stream stream, const View& x, const View& y, bool accumulate) {
  const Walk walk({y, x}, 1);
  dispatch_any(y.dtype, [&]<class Y>(Y) {
    launch("copy.convert", convert_kernel<Y>, walk.geometry(1), stream, walk, x.dtype,
           InOut<Y>(walk, y, accumulate), Input<uint8_t>(walk, x));
  });
}

void forward(Stream stream, View x, View y, bool accumulate) {
  check_copy(x, y, accumulate);
  if (!y.size()) return;
  const auto is_activation = [](Dtype d) { return d == Dtype::f32 || is_narrow(d); };
  if (x.dtype == y.dtype && !accumulate) return move(stream, x, y);
  if (is_activation(y.dtype) && (is_activation(x.dtype) || x.dtype == Dtype::u8))
    return cast(stream, x, y, accumulate);
  convert(stream, x, y, accumulate);
}

void fill(Stream stream, View y, double value) {
  if (!y.size()) return;
  uint64_t bits = 0;
  dispatch_any(y.dtype, [&]<class Y>(Y) {
    const Y element = Y(value);
    std::memcpy(&bits, &element, sizeof(Y));
  });
  dispatch_size(y.dtype, [&]<class Word>(Word) {
    walk_packs<pack_lanes<Word>>({y}, [&](const Walk& walk, auto lanes) {
      launch("copy.fill", fill_kernel<Word, lanes()>, walk.geometry(2), stream, walk, Word(bits),
             Output<Word>(walk, y));
    });
  });
}

// Instantiations: move and fill for elements of 1, 2, 4, 8 bytes, in packs of 16 bytes and of one
// element; cast to f32, bf16, f16, likewise; convert to each of the 7 types.

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::copy

namespace kinema::kernels {

const Copy KERNELS_DEVICE(copy) = {.forward = device::copy::forward, .fill = device::copy::fill};

}  // namespace kinema::kernels
