#pragma once
#include <initializer_list>
#include <type_traits>
#include "kernels/device/index.h"
#include "kernels/device/launch.h"
#include "kernels/device/pack.h"

// Inlined everywhere, functions as large as these take the host's compiler minutes under the
// sanitizers: in emulation it may leave them calls.
#if KERNELS_CUDA
#define KERNELS_LARGE __device__ __forceinline__
#else
#define KERNELS_LARGE inline
#endif

// Element by element over tensors of one shape, of any strides and types: what is bound by memory
// alone. A kernel gets a Walk and an Operand for each tensor, and calls map().

namespace kinema::kernels::device::inline KERNELS_TWIN {

inline constexpr int map_threads = 256;

/// How tensors of one shape are gone through together: in packs of so many lanes, row by row. Axes
/// that all tensors lay out densely are part of the row, those with uniform rows are one axis, so
/// that the usual tensors are a single long row. Where a tensor owns zero lanes, packs reach there.
class Walk {
 public:
  /// Where a pack lies: from `first` of its row on, which is row-major element `element`; `at` are
  /// the places of the row on the axes, innermost first.
  struct Place {
    int64_t first, element;
    int64_t at[max_rank - 1];
  };

  /// Views that are not given are passed over; the first is given.
  Walk(std::initializer_list<View> views, int lanes);
  /// True if every row of v begins on a multiple of 16 bytes, or of those of its packs.
  bool aligned(const View& v) const;
  /// The step of v along `axis` of the walk.
  int64_t stride(const View& v, int axis) const { return axis < axes_ ? v.stride(axis_[axis]) : 0; }
  /// So many threads as to give each `rounds` packs, but no more than keep the device busy.
  Geometry geometry(int rounds) const {
    return {.grid = blocks_for((packs_ + rounds - 1) / rounds, map_threads), .block = map_threads};
  }

  KERNELS_BOTH int64_t packs() const { return packs_; }
  KERNELS_BOTH int64_t length() const { return length_; }
  KERNELS_BOTH int axes() const { return axes_; }
  /// True if all tensors own every lane of the pack.
  KERNELS_LARGE bool whole(int64_t pack) const {
    return (row_packs_.remainder(pack) + 1) * lanes_ <= reach_;
  }
  KERNELS_LARGE Place place(int64_t pack) const {
    int64_t row = row_packs_.quotient(pack);
    const int64_t first = (pack - row * row_packs_.divisor()) * lanes_;
    Place p{first, row * length_ + first, {row}};
    if (axes_ > 1) {
#pragma unroll
      for (int a = 0; a < max_rank - 1; ++a) {
        const int64_t rest = a + 1 < axes_ ? size_[a].quotient(row) : 0;
        p.at[a] = row - rest * size_[a].divisor();
        row = rest;
      }
    }
    return p;
  }

 private:
  int lanes_ = 1, axes_ = 0;
  int64_t length_ = 1, reach_ = 1, packs_ = 0;
  FastDivisor row_packs_;
  FastDivisor size_[max_rank - 1];  ///< of the axes, innermost first
  int axis_[max_rank - 1] = {};     ///< of the views: the innermost of those that were merged
};

inline Walk::Walk(std::initializer_list<View> views, int lanes) : lanes_(lanes) {
  const auto all = [&](auto holds) {
    for (const View& v : views)
      if (v && !holds(v)) return false;
    return true;
  };
  const View& any = *views.begin();
  int64_t least_tail = any.tail, most_tail = 0;
  for (const View& v : views) {
    if (!v) continue;
    least_tail = std::min(least_tail, v.tail);
    most_tail = std::max(most_tail, v.tail);
  }
  int64_t rows = 1, size[max_rank - 1] = {};
  length_ = any.shape[-1];
  for (int a = any.shape.rank - 2; a >= 0; --a) {
    const int64_t here = any.shape[a];
    if (here == 1) continue;
    if (rows == 1 && !most_tail && all([&](const View& v) { return v.stride(a) == length_; })) {
      length_ *= here;
      continue;
    }
    rows *= here;
    const int inner = axes_ - 1;
    const auto uniform = [&](const View& v) {
      return v.stride(a) == v.stride(axis_[inner]) * size[inner];
    };
    if (axes_ && all(uniform)) {
      size[inner] *= here;
    } else {
      axis_[axes_] = a;
      size[axes_++] = here;
    }
  }
  for (int a = 0; a < axes_; ++a) size_[a] = FastDivisor(size[a]);
  reach_ = length_ + least_tail;
  row_packs_ = FastDivisor((length_ + most_tail + lanes - 1) / lanes);
  packs_ = rows * row_packs_.divisor();
}

inline bool Walk::aligned(const View& v) const {
  if (!v) return true;
  const int64_t bytes = std::min<int64_t>(16, lanes_ * size_of(v.dtype));
  if (reinterpret_cast<uintptr_t>(v.data) % uintptr_t(bytes)) return false;
  for (int a = 0; a < axes_; ++a)
    if (stride(v, a) * size_of(v.dtype) % bytes) return false;
  return true;
}

/// run(walk, lanes) with the walk over `views`, which hold elements: in packs of N lanes, or of one
/// where some row does not lie on a multiple of 16 bytes. `lanes` is a constant.
template <int N, class F>
void walk_packs(std::initializer_list<View> views, const F& run) {
  const Walk walk(views, N);
  for (const View& v : views)
    if (!walk.aligned(v)) return run(Walk(views, 1), std::integral_constant<int, 1>{});
  run(walk, std::integral_constant<int, N>{});
}

/// What a map does with a tensor. What is updated is read only if so asked.
enum class Access : uint8_t { reads, writes, updates };

/// A tensor of a walk. One that is not given is neither read nor written: zeros that nobody keeps.
template <class T, Access access>
struct Operand {
  using Element = T;
  static constexpr bool writes = access != Access::reads;

  Operand() = default;
  Operand(const Walk& walk, const View& v, bool reads = access == Access::reads)
      : data(static_cast<T*>(v.data)), tail(v.tail), given(bool(v)), asked(given && reads) {
    for (int a = 0; a < max_rank - 1; ++a) stride[a] = v ? walk.stride(v, a) : 0;
  }
  KERNELS_BOTH bool read() const { return access != Access::writes && asked; }
  /// The same tensor, whose elements are X: for kernels that learn a type when they run.
  template <class X>
  KERNELS_LARGE Operand<X, access> as() const {
    Operand<X, access> other;
    other.data = reinterpret_cast<X*>(data);
    other.tail = tail;
#pragma unroll
    for (int a = 0; a < max_rank - 1; ++a) other.stride[a] = stride[a];
    other.given = given;
    other.asked = asked;
    return other;
  }
  KERNELS_LARGE int64_t offset(const Walk& walk, const Walk::Place& p) const {
    int64_t offset = p.first + p.at[0] * stride[0];
    if (walk.axes() > 1) {
#pragma unroll
      for (int a = 1; a < max_rank - 1; ++a) offset += p.at[a] * stride[a];
    }
    return offset;
  }

  T* data;
  int64_t tail;
  int64_t stride[max_rank - 1];
  bool given, asked;
};
template <class T>
using Input = Operand<T, Access::reads>;
template <class T>
using Output = Operand<T, Access::writes>;
template <class T>
using InOut = Operand<T, Access::updates>;

/// Packs of one operand in a thread's registers, in pieces of at most 16 bytes. They stay words
/// until they are used: taken apart sooner, each load would be waited for.
template <class Operand, int N, int Rounds>
struct Held {
  using T = typename Operand::Element;
  static constexpr int piece = N < pack_lanes<T> ? N : pack_lanes<T>, pieces = N / piece;
  using Word = std::conditional_t<piece * sizeof(T) % 4 == 0, uint32_t, T>;
  using Piece = Pack<Word, piece* int(sizeof(T)) / int(sizeof(Word))>;

  const Operand& operand;
  int64_t at[Rounds];
  Piece raw[Rounds][pieces];
  Pack<T, N> pack;  ///< of the round that is computed

  KERNELS_LARGE void load(int round, int64_t offset) {
    at[round] = offset;
#pragma unroll
    for (int p = 0; p < pieces; ++p)
      raw[round][p] = operand.read() ? load_pack<Piece::size>(words(offset, p)) : Piece{};
  }
  KERNELS_LARGE void unpack(int round) { memcpy(&pack, raw[round], sizeof(pack)); }
  /// Lanes from `end` on are behind the row, so zeros.
  KERNELS_LARGE void store(int round, int end) {
    if constexpr (Operand::writes) {
      if (!operand.given) return;
      if (end < N) {
#pragma unroll
        for (int k = 0; k < N; ++k)
          if (k >= end) pack.lane[k] = T{};
      }
      Piece whole[pieces];
      memcpy(whole, &pack, sizeof(pack));
#pragma unroll
      for (int p = 0; p < pieces; ++p) store_pack<Piece::size>(words(at[round], p), whole[p]);
    }
  }

 private:
  KERNELS_INLINE Word* words(int64_t offset, int p) const {
    return reinterpret_cast<Word*>(operand.data + offset + p * piece);
  }
};

/// Where the packs of one thread lie in the walk: `first`, then every `step`; from `lane` on.
struct Packs {
  int64_t first, step;
  int lane = 0;
};

template <int Rounds, class F, class... H>
KERNELS_LARGE void map_held(const Walk& walk, const Packs& packs, const F& f, H&&... held) {
  int64_t element[Rounds];
  int end[Rounds];
#pragma unroll
  for (int r = 0; r < Rounds; ++r) {
    Walk::Place place = walk.place(packs.first + r * packs.step);
    place.first += packs.lane;
    element[r] = place.element + packs.lane;
    end[r] = int(std::min<int64_t>(walk.length() - place.first, 1 << 30));
    (held.load(r, held.operand.offset(walk, place)), ...);
  }
#pragma unroll
  for (int r = 0; r < Rounds; ++r) {
    (held.unpack(r), ...);
    f(element[r], held.pack...);
    (held.store(r, end[r]), ...);
  }
}
/// Packs that all tensors own whole: every load is under way before the first is used.
template <int N, int Rounds, class F, class... T>
KERNELS_LARGE void map_whole(const Walk& walk, const Packs& packs, const F& f,
                             const T&... operand) {
  map_held<Rounds>(walk, packs, f, Held<T, N, Rounds>{operand, {}, {}, {}}...);
}

/// A zero lane at `place`, where `to` owns it.
template <class To>
KERNELS_LARGE void clear_lane(const Walk& walk, const Walk::Place& place, const To& to) {
  if constexpr (To::writes) {
    if (to.given && place.first < walk.length() + to.tail)
      to.data[to.offset(walk, place)] = typename To::Element{};
  }
}

/// Any pack, lane by lane.
template <int N, class F, class... T>
KERNELS_LARGE void map_partial(const Walk& walk, int64_t pack, const F& f, const T&... operand) {
  Walk::Place place = walk.place(pack);
#pragma unroll 1
  for (int k = 0; k < N; ++k, ++place.first) {
    if (place.first < walk.length())
      map_whole<1, 1>(walk, {pack, 0, k}, f, operand...);
    else
      (clear_lane(walk, place, operand), ...);
  }
}

/// f(element, packs...) for each pack of the walk: `element` is its first's place in row-major
/// order, `packs` is for each operand what it holds where it is read, else zeros; of N lanes, or of
/// one. What f leaves in those of operands that are written is stored; lanes behind a row may hold
/// anything. Each thread has `Rounds` packs of every operand in flight before it uses the first.
template <int N, int Rounds, class F, class... T>
KERNELS_LARGE void map(const Walk& walk, const F& f, const T&... operand) {
  const int64_t step = index_step();
  for (int64_t i = first_index(); i < walk.packs(); i += Rounds * step) {
    bool whole = i + (Rounds - 1) * step < walk.packs();
#pragma unroll
    for (int r = 0; r < Rounds; ++r) whole = whole && walk.whole(i + r * step);
    if (whole) {
      map_whole<N, Rounds>(walk, {i, step}, f, operand...);
      continue;
    }
#pragma unroll 1
    for (int64_t one = i; one < walk.packs() && one < i + Rounds * step; one += step) {
      if (walk.whole(one))
        map_whole<N, 1>(walk, {one, step}, f, operand...);
      else
        map_partial<N>(walk, one, f, operand...);
    }
  }
}

/// y = f(y, x...) element by element in f32, rounded once; where y is not read, f gets 0 for it.
template <int N, int Rounds, class F, class Y, class... X>
KERNELS_LARGE void map_floats(const Walk& walk, const F& f, const Y& y, const X&... x) {
  map<N, Rounds>(
      walk,
      [&](int64_t, auto& to, const auto&... from) {
#pragma unroll
        for (int k = 0; k < to.size; ++k)
          to.lane[k] =
              from_float<typename Y::Element>(f(to_float(to.lane[k]), to_float(from.lane[k])...));
      },
      y, x...);
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN
