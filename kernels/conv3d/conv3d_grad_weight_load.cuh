#pragma once
#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/device/async_copy.h"
#include "kernels/device/device.h"
#include "kernels/device/swizzle.h"

// What grad_weight reads of x and dy, and how it comes into shared memory: channels of a pixel side
// by side as in global memory, in panels of 128 bytes a pixel whose chunks are swizzled. Where a
// pixel reads x is worked out once a stage, by one thread a pixel; the others find it in a table.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight {

struct Axis {
  int outputs, sources, stride, padding, dilation, taps;
};

struct Problem {
  Axis axis[3];          ///< t, h, w
  int rows, columns;     ///< of the product
  int channels, padded;  ///< of x a group; to whole chunks
  int row_tiles, column_tiles, groups, splits, stages;
  int64_t clips, pixels, steps;
  FastDivisor outputs[3];  ///< of the axes
  int advance[4];          ///< a step's pixels as clips, frames, rows, columns
};

/// x or dy.
template <class T>
struct Operand {
  const T* data;
  int64_t stride[4];  ///< of clips, frames, rows, columns
  bool packs;         ///< chunks lie on multiples of 16 bytes
  bool linear;        ///< what pixel p of y is multiplied with lies at p times the last stride
};

/// The tile and the split of a block: tiles of one split lie side by side, since they read the same
/// pixels.
struct Place {
  int row, column, group;  ///< the first of the tile's
  int64_t split, first;    ///< the first step
  int steps;
};
KERNELS_INLINE Place place_of(const Problem& p, int rows, int columns) {
  Place at;
  int rest = int(blockIdx.x);
  at.row = rest % p.row_tiles * rows;
  rest /= p.row_tiles;
  at.column = rest % p.column_tiles * columns;
  rest /= p.column_tiles;
  at.group = rest % p.groups;
  at.split = rest / p.groups;
  at.first = p.steps * at.split / p.splits;
  at.steps = int(p.steps * (at.split + 1) / p.splits - at.first);
  return at;
}

struct Tiles {
  char* memory;
  uint32_t address;
};

/// Where a pixel of y reads x by the first tap, and where it lies in dy.
struct Pixel {
  Pack<int, 4> at;  ///< t, h, w
  int64_t x;
  int64_t dy;  ///< -1: there is no such pixel
};

/// A pixel of y, and the same of the step behind.
struct Walk {
  int64_t n;
  int t, h, w;

  KERNELS_INLINE void start(const Problem& p, int64_t pixel) {
    const int64_t rows = p.outputs[2].quotient(pixel), frames = p.outputs[1].quotient(rows);
    w = int(pixel - rows * p.outputs[2].divisor());
    h = int(rows - frames * p.outputs[1].divisor());
    n = p.outputs[0].quotient(frames);
    t = int(frames - n * p.outputs[0].divisor());
  }
  KERNELS_INLINE void advance(const Problem& p) {
    w += p.advance[3];
    h += p.advance[2] + carried(w, p.axis[2]);
    t += p.advance[1] + carried(h, p.axis[1]);
    n += p.advance[0] + carried(t, p.axis[0]);
  }
  KERNELS_INLINE static int carried(int& at, const Axis& axis) {
    const bool over = at >= axis.outputs;
    at -= over ? axis.outputs : 0;
    return over;
  }
};

/// Where the pixels of two steps lie, and of which the next ones are: in shared memory, since
/// registers are for sums.
template <int Depth>
struct Table {
  Pixel pixels[2][Depth];
  Walk next[Depth];
};

/// What a thread copies of the pixels of x or dy: one chunk of every so-many-th of a step.
template <class T, int Width, int Depth, int Threads>
struct Chunk {
  static constexpr int lanes = pack_lanes<T>, chunks = Width / lanes, together = Threads / chunks;
  const T* data;  ///< of the first pixel of the tensor
  int count;      ///< elements
  uint32_t to;    ///< in the tile, of this thread's first pixel

  KERNELS_INLINE static int column() { return int(threadIdx.x) % chunks * lanes; }
  KERNELS_INLINE static int pixel() { return int(threadIdx.x) / chunks; }
  KERNELS_INLINE Chunk(const T* data, int count)
      : data(data),
        count(std::clamp(count, 0, int(lanes))),
        to(uint32_t(column() / (8 * lanes) * Depth * 128) +
           swizzled<Swizzle::bytes128>(uint32_t(pixel() * 128 + column() / lanes % 8 * 16))) {}

  /// `find` says of a pixel of the step where it lies and whether there is anything.
  template <class F>
  KERNELS_INLINE void copy(const Tiles& tiles, uint32_t tile, bool packs, F find) const {
    static_assert(Depth % together == 0);
    if (packs) {
#pragma unroll
      for (int i = 0; i < Depth; i += together) {
        const auto [offset, there] = find(pixel() + i);
        cp_async<16>(tiles.address + tile + place(i), data + offset,
                     there ? count * int(sizeof(T)) : 0);
      }
    } else {
#pragma unroll 1
      for (int i = 0; i < Depth; i += together) {
        const auto [offset, there] = find(pixel() + i);
        store_pack<lanes>(reinterpret_cast<T*>(tiles.memory + tile + place(i)),
                          load_lanes<lanes>(data + offset, there ? count : 0, false));
      }
    }
  }

 private:
  /// Of the pixel that lies i, a multiple of `together`, behind the first.
  KERNELS_INLINE uint32_t place(int i) const {
    return (to ^ uint32_t(i % 8 * 16)) + uint32_t(i * 128);
  }
};

struct Found {
  int64_t offset;
  bool there;
};

/// Fills stages, each a tile of dy and one of x.
template <class Product>
class Loader {
  using T = typename Product::Type;
  static constexpr int depth = Product::depth;

 public:
  static constexpr uint32_t dy_bytes = Product::rows * depth * sizeof(T);
  static constexpr uint32_t stage_bytes = dy_bytes + Product::columns * depth * sizeof(T);

  KERNELS_INLINE Loader(const Problem& p, const Operand<T>& x, const Operand<T>& dy,
                        const Place& at, const Tiles& tiles, Table<depth>& table)
      : p_(p),
        x_(x),
        dy_(dy),
        tiles_(tiles),
        table_(table),
        pixel_(at.first * depth),
        from_dy_(dy.data + int64_t(at.group) * p.rows + at.row + DyChunk::column(),
                 p.rows - at.row - DyChunk::column()),
        from_x_(x.data, 0) {
    const int column = at.column + XChunk::column();
    if (column < p.columns) {
      const int tap = column / p.padded, c = column - tap * p.padded;
      const int row = tap / p.axis[2].taps, frame = row / p.axis[1].taps;
      w_ = (tap - row * p.axis[2].taps) * p.axis[2].dilation;
      h_ = (row - frame * p.axis[1].taps) * p.axis[1].dilation;
      t_ = frame * p.axis[0].dilation;
      const int64_t offset = t_ * x.stride[1] + h_ * x.stride[2] + w_ * x.stride[3];
      from_x_ = XChunk(x.data + int64_t(at.group) * p.channels + c + offset, p.channels - c);
    }
    if (threadIdx.x < unsigned(depth)) table.next[threadIdx.x].start(p, pixel_ + threadIdx.x);
    prepare(0);
  }

  /// Begins to copy the tiles of step `step`, the one behind the last, to `stage`, if `wanted`, and
  /// puts the pixels of the step behind it into the table. Between calls all threads meet.
  KERNELS_INLINE void load(int step, uint32_t stage, bool wanted) {
    if (wanted) {
      const Pixel* const pixels = table_.pixels[step & 1];
      if (dy_.linear)
        load_linear(from_dy_, dy_, stage);
      else
        from_dy_.copy(tiles_, stage, dy_.packs, [&](int i) {
          return Found{pixels[i].dy, pixels[i].dy >= 0};
        });
      if (x_.linear)
        load_linear(from_x_, x_, stage + dy_bytes);
      else
        load_taps(pixels, stage + dy_bytes);
      pixel_ += depth;
    }
    cp_async_commit();
    prepare(step + 1);
  }

 private:
  using DyChunk = Chunk<T, Product::rows, depth, Product::threads>;
  using XChunk = Chunk<T, Product::columns, depth, Product::threads>;

  template <class Chunk>
  KERNELS_INLINE void load_linear(const Chunk& from, const Operand<T>& operand, uint32_t tile) {
    from.copy(tiles_, tile, operand.packs, [&](int i) {
      return Found{(pixel_ + i) * operand.stride[3], pixel_ + i < p_.pixels};
    });
  }
  KERNELS_INLINE void load_taps(const Pixel* pixels, uint32_t tile) {
    from_x_.copy(tiles_, tile, x_.packs, [&](int i) {
      const Pack<int, 4> at = load_pack<4>(pixels[i].at.lane);
      // Not &&: all is cheaper than a branch.
      const bool there = (unsigned(at.lane[0] + t_) < unsigned(p_.axis[0].sources)) &
                         (unsigned(at.lane[1] + h_) < unsigned(p_.axis[1].sources)) &
                         (unsigned(at.lane[2] + w_) < unsigned(p_.axis[2].sources));
      return Found{pixels[i].x, there};
    });
  }
  KERNELS_INLINE void prepare(int step) {
    if ((x_.linear && dy_.linear) || threadIdx.x >= unsigned(depth)) return;
    Walk y = table_.next[threadIdx.x];
    Pixel at{{INT32_MIN, 0, 0, 0}, 0, -1};
    if (y.n < p_.clips) {
      const int t = y.t * p_.axis[0].stride - p_.axis[0].padding,
                h = y.h * p_.axis[1].stride - p_.axis[1].padding,
                w = y.w * p_.axis[2].stride - p_.axis[2].padding;
      at = {{t, h, w, 0},
            y.n * x_.stride[0] + t * x_.stride[1] + h * x_.stride[2] + w * x_.stride[3],
            y.n * dy_.stride[0] + y.t * dy_.stride[1] + y.h * dy_.stride[2] + y.w * dy_.stride[3]};
    }
    table_.pixels[step & 1][threadIdx.x] = at;
    y.advance(p_);
    table_.next[threadIdx.x] = y;
  }

  const Problem& p_;
  const Operand<T>&x_, &dy_;
  const Tiles tiles_;
  Table<depth>& table_;
  int64_t pixel_;  ///< the next step's first
  const DyChunk from_dy_;
  XChunk from_x_;
  int t_ = 0, h_ = 0, w_ = 0;  ///< of the tap that this thread copies for
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d::weight
