#pragma once
#include "kernels/device/emulation/async_calls.h"
#include "kernels/device/emulation/race.h"
#include "kernels/device/emulation/tensor_map.h"

namespace kinema::kernels::device::emulation {

/// The tiles that tensor maps speak of.

/// The map at that address, or a report.
EncodedMap map_at(const void* map, const char* name);
/// The map of copy c, checked against what c says of it.
EncodedMap map_of(const TensorCopy& c, const char* name);

/// Bytes of a tile, and of the shared memory that it lies in: whole spans of the swizzle.
size_t tile_bytes(const EncodedMap&);
size_t tile_room(const EncodedMap&);

/// Ends the launch unless the tile's elements of global memory may be accessed.
void check_tile(const EncodedMap&, const TensorCopy&, race::Kind);
/// Ends the launch unless there is an addition of the map's type.
void check_addable(const EncodedMap&);

void load_tile(const EncodedMap&, const TensorCopy&, char* tile);
void store_tile(const EncodedMap&, const TensorCopy&, const char* tile, bool add);
/// Fills what store_tile will write with NaN.
void poison_tile(const EncodedMap&, const TensorCopy&);

}  // namespace kinema::kernels::device::emulation
