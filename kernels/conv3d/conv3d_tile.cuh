#pragma once
#include "kernels/device/async_copy.h"
#include "kernels/device/device.h"
#include "kernels/device/mma.h"
#include "kernels/device/tma.h"

// Tiles of two matrices in shared memory, and their product: what the kernels of conv3d that
// multiply matrices share. One step of a kernel multiplies what a stage holds: an operand's tile of
// lines (the product's rows, or its columns) by depth (what the product sums over).

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

/// Along what an operand's elements lie side by side, in global and in shared memory.
enum class Major : uint8_t { depth, lines };

/// Products that a stage holds for each sum: 128 bytes of T.
template <class T>
inline constexpr int stage_depth = 128 / int(sizeof(T));

/// Lines x stage_depth elements of an operand, in rows of 128 bytes. Major::depth: a row is a line.
/// Major::lines: a row is a place in the depth and holds 128 bytes of lines; more lines are in
/// panels behind each other. Chunks of 16 bytes are permuted within a row, so that no eight rows
/// that ldmatrix reads, and no 4-byte loads of FragmentReader, meet in a bank. Starts on a multiple
/// of 1024 bytes.
template <class T, int Lines, Major M>
struct OperandTile {
  static constexpr int row_elements = 128 / int(sizeof(T));
  static constexpr int panels = M == Major::depth ? 1 : (Lines + row_elements - 1) / row_elements;
  static constexpr int rows = M == Major::depth ? Lines : stage_depth<T> * panels;
  static constexpr uint32_t bytes = rows * 128;

  /// Where chunk `chunk` of row `row` lies.
  KERNELS_INLINE static uint32_t place(uint32_t row, uint32_t chunk) {
    if constexpr (M == Major::depth || sizeof(T) == 2)
      return swizzled<Swizzle::bytes128>(row * 128 + chunk * 16);
    else  // loads take 8 elements of each of 4 rows: two chunks a row, all eight different
      return row * 128 + ((chunk ^ ((row & 3) << 1 | (row >> 2 & 1))) << 4);
  }
};

/// Which rows of a tile a thread fills: `first`, first + 8, ..., `count` in all, chunk `chunk` of
/// each, so that its places lie 1024 bytes apart; 8 lanes fill a row. A warp has them to itself.
template <int Rows, int Threads>
struct RowShare {
  static constexpr int warps = Threads / 32, count = Rows * 8 / Threads, run = 2 * Rows / warps;
  static_assert(Rows % (4 * warps) == 0 && warps % 2 == 0);
  int chunk = int(threadIdx.x) % 8;
  int run_first = int(threadIdx.x) / 64 * run;  ///< of the run of rows that two warps fill
  int within = int(threadIdx.x) / 8 % 8;        ///< of 8 rows
  int first = run_first + within;
};

/// The block's dynamic shared memory: as a pointer, and as what instructions take.
struct SharedTiles {
  char* memory = tile_memory<char>();
  uint32_t address = shared_address(memory);
};

/// 16 bytes at `offset` = the first `bytes` bytes at `from`, zeros behind them. Aligned: begun, 0
/// bytes may be anywhere; else by loads of single elements.
template <bool Aligned, class T>
KERNELS_INLINE void copy_chunk(const SharedTiles& shared, uint32_t offset, const char* from,
                               int bytes) {
  if constexpr (Aligned) {
    cp_async<16>(shared.address + offset, from, bytes);
  } else {
    Pack<T, pack_lanes<T>> pack;
#pragma unroll
    for (int i = 0; i < pack.size; ++i)
      pack.lane[i] = i * int(sizeof(T)) < bytes ? reinterpret_cast<const T*>(from)[i] : T{};
    store_pack<pack.size>(reinterpret_cast<T*>(shared.memory + offset), pack);
  }
}

/// Stages that are filled in turn while others are read. A stage is known by its offset.
struct Ring {
  uint32_t stage_bytes;
  int stages;  ///< 2 to 5

  KERNELS_INLINE uint32_t after(uint32_t stage) const {
    stage += stage_bytes;
    return stage == stage_bytes * uint32_t(stages) ? 0 : stage;
  }
  /// Waits until the oldest stage of this thread's copies is there; each stage has been committed
  /// as a group, and all but one are under way.
  KERNELS_INLINE void wait() const {
    if (stages == 2)
      cp_async_wait<0>();
    else if (stages == 3)
      cp_async_wait<1>();
    else if (stages == 4)
      cp_async_wait<2>();
    else
      cp_async_wait<3>();
  }
};

/// A fragment of f32 as TF32; of 16-bit types it is as it must be.
template <class T, int Count>
KERNELS_INLINE void round_factors(uint32_t (&fragment)[Count]) {
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (uint32_t& bits : fragment) bits = tf32_register_of(__uint_as_float(bits));
  }
}

/// How a warp reads an operand's tile, 16 lines at a time: from line `first` on, a multiple of 32;
/// or, where several warps take such runs of 16 in turn, every Step-th from `first` on.
template <class T, class Tile, Major M, int Step = 1>
class FragmentReader {
  static constexpr bool scalar = M == Major::lines && sizeof(T) == 4;
  /// Chunks of 16 bytes from one run to the next that is read, where lines lie side by side.
  static constexpr uint32_t step = Step * sizeof(T);

 public:
  KERNELS_INLINE explicit FragmentReader(uint32_t first) {
    const uint32_t lane = threadIdx.x % 32, panel = first / Tile::row_elements;
    const uint32_t chunk = first % Tile::row_elements * uint32_t(sizeof(T)) / 16;
    if constexpr (M == Major::depth)
      lane_ = Tile::place(first + lane % 16, lane / 16);
    else if constexpr (scalar)
      lane_ = panel * 4096 + Tile::place(lane % 4, chunk + lane / 16) + lane / 4 % 4 * 4;
    else
      lane_ = panel * 8192 + Tile::place(lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2);
  }

  /// r[g + 2*h] = what mma() takes of lines 8*g + lane/4 of the i-th run, half h of the k-th part
  /// of the depth: 16 of 16-bit elements, 8 of f32 as TF32. `tile`: the operand's tile's offset.
  /// Not rounded, f32 is to be later: rounding waits for what is read.
  template <bool Rounded = true>
  KERNELS_INLINE void load(uint32_t (&r)[4], const SharedTiles& shared, uint32_t tile, uint32_t i,
                           uint32_t k) const {
    const uint32_t chunk = i * step % 8 << 4, panel = i * step / 8;
    if constexpr (M == Major::depth) {
      ldmatrix(r, shared.address + tile + (lane_ ^ k << 5) + i * Step * 2048);
    } else if constexpr (!scalar) {
      ldmatrix_trans(r, shared.address + tile + (lane_ ^ chunk) + panel * 8192 + k * 2048);
    } else {
      const char* const row = shared.memory + tile + panel * 4096 + k * 1024;
#pragma unroll
      for (uint32_t e = 0; e < 4; ++e)
        r[e] = *reinterpret_cast<const uint32_t*>(row + (lane_ ^ e / 2 << 4 ^ e % 2 << 5 ^ chunk) +
                                                  e / 2 * 512);
    }
    if constexpr (Rounded) round_factors<T>(r);
  }

 private:
  uint32_t lane_;
};

/// Sums of a tile in shared memory, a row a run of `columns` floats, 8 or a multiple of 32, whose
/// groups of 8 are permuted: neither the fragments' pairs nor packs of 8 meet often in a bank.
struct SumTile {
  float* data;
  int columns;
  KERNELS_INLINE float* at(int row, int column) const {
    return data + row * columns + (column ^ ((row & 3) << 3 & (columns - 1)));
  }
};

/// The product of tiles by tensor cores: Rows x Columns sums by Rows / 32 warps, 64 rows each and
/// half of the columns, of which they take runs of 16 in turn; of 32 columns, 32 rows and all. Rows
/// are Major::depth. T is bf16, f16, or float as TF32.
template <class T, int Columns, Major M, int Rows = 128>
class MmaProduct {
 public:
  using Element = T;
  static constexpr int rows = Rows, columns = Columns, threads = Rows;
  using RowTile = OperandTile<T, rows, Major::depth>;
  using ColumnTile = OperandTile<T, Columns, M>;
  static constexpr uint32_t stage_bytes = RowTile::bytes + ColumnTile::bytes;

  /// Reads what the first product of a stage takes, before multiply().
  KERNELS_INLINE void begin(uint32_t stage) {
    load_rows(0, stage, 0);
    if constexpr (column_buffers == 2) load_columns(0, stage, 0);
  }

  /// sums += the product of the stage's tiles. issue(k) for k = 0 .. 3 is called between, to begin
  /// copies; turn() when the stage has been read: it gives the next one, there for all to read, or
  /// -1.
  template <class Issue, class Turn>
  KERNELS_INLINE void multiply(uint32_t stage, Issue issue, Turn turn) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      int next = int(stage);
      if constexpr (column_buffers == 1) load_columns(0, stage, k);
      if (k == 3) {
        issue(k);
        next = turn();
      }
      if (next >= 0) {
        load_rows((k + 1) % 2, uint32_t(next), (k + 1) % 4);
        if constexpr (column_buffers == 2) load_columns((k + 1) % 2, uint32_t(next), (k + 1) % 4);
      }
      if (k < 3) issue(k);
#pragma unroll
      for (auto& fragment : a_[k % 2]) round_factors<T>(fragment);
#pragma unroll
      for (auto& fragment : b_[k % column_buffers]) round_factors<T>(fragment);
      mma_tile<T>(sums_, a_[k % 2], b_[k % column_buffers]);
    }
  }

  KERNELS_INLINE void store(const SumTile& to) const {
    const int lane = int(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < row_tiles; ++i)
#pragma unroll
      for (int j = 0; j < column_tiles; ++j)
#pragma unroll
        for (int h = 0; h < 2; ++h)
          store_pack<2>(to.at(first_row() + i * 16 + h * 8 + lane / 4,
                              first_column() + j / 2 * across * 16 + j % 2 * 8 + lane % 4 * 2),
                        Pack<float, 2>{{sums_[i][j][2 * h], sums_[i][j][2 * h + 1]}});
  }

 private:
  static constexpr int across = Columns == 32 ? 1 : 2, down = threads / 32 / across;
  static constexpr int row_tiles = rows / down / 16, column_tiles = Columns / across / 8;
  /// TF32's addresses leave registers for no more.
  static constexpr int column_buffers = sizeof(T) == 4 ? 1 : 2;

  KERNELS_INLINE static int first_row() { return int(threadIdx.x) / 32 % down * row_tiles * 16; }
  KERNELS_INLINE static int first_column() { return int(threadIdx.x) / 32 / down * 16; }
  KERNELS_INLINE void load_rows(int to, uint32_t stage, int k) {
#pragma unroll
    for (int i = 0; i < row_tiles; ++i)
      row_reader_.template load<false>(a_[to][i], shared_, stage, uint32_t(i), uint32_t(k));
  }
  KERNELS_INLINE void load_columns(int to, uint32_t stage, int k) {
#pragma unroll
    for (int j = 0; j < column_tiles / 2; ++j) {
      uint32_t r[4];
      column_reader_.template load<false>(r, shared_, stage + RowTile::bytes, uint32_t(j),
                                          uint32_t(k));
#pragma unroll
      for (int e = 0; e < 4; ++e) b_[to][2 * j + e % 2][e / 2] = r[e];
    }
  }
  SharedTiles shared_;
  FragmentReader<T, RowTile, Major::depth> row_reader_{uint32_t(first_row())};
  FragmentReader<T, ColumnTile, M, across> column_reader_{uint32_t(first_column())};
  float sums_[row_tiles][column_tiles][4] = {};
  // Of this part of the depth, and of the next.
  uint32_t a_[2][row_tiles][4], b_[column_buffers][column_tiles][2];
};

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
