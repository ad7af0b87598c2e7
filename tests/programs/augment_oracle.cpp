// Augments one frame between standard input and output, for the comparison with torchvision:
//   augment_oracle scale HEIGHT WIDTH Y X WINDOW_HEIGHT WINDOW_WIDTH TO_HEIGHT TO_WIDTH   u8
//   augment_oracle colour HEIGHT WIDTH BRIGHTNESS CONTRAST SATURATION HUE ORDER           f32
#include <cstdio>
#include <cstdlib>
#include <string>
#include "engine/data/augment.h"

using namespace kinema::engine;

namespace {

/// Reads or writes the dense rows of a frame.
template <class T, class F>
void each_row(const Tensor& t, const F& transfer) {
  for (int64_t y = 0; y < t.shape(2); ++y)
    if (transfer(data<T>(t) + y * t.layout.stride(2), sizeof(T), size_t(3 * t.shape(3))) !=
        size_t(3 * t.shape(3)))
      std::exit(1);
}
template <class T>
Tensor read_frame(int64_t height, int64_t width) {
  const Tensor t = empty({1, 1, height, width, 3}, kinema::kernels::dtype_of<T>());
  each_row<T>(t, [](T* p, size_t size, size_t n) { return std::fread(p, size, n, stdin); });
  return t;
}
template <class T>
void write_frame(const Tensor& t) {
  each_row<T>(t, [](T* p, size_t size, size_t n) { return std::fwrite(p, size, n, stdout); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 9) return 2;
  const auto whole = [&](int i) { return int64_t(std::atoll(argv[i])); };
  if (std::string(argv[1]) == "scale") {
    const Tensor from = read_frame<uint8_t>(whole(2), whole(3));
    const Tensor to = empty({1, 1, whole(8), whole(9), 3}, Dtype::u8);
    video::scale_window(from.view(), {whole(4), whole(5)}, {whole(6), whole(7)}, to.view());
    write_frame<uint8_t>(to);
    return 0;
  }
  video::ColourChange c{.brightness = std::atof(argv[4]),
                        .contrast = std::atof(argv[5]),
                        .saturation = std::atof(argv[6]),
                        .hue = std::atof(argv[7])};
  for (size_t i = 0; i < 4; ++i) c.order[i] = argv[8][i] - '0';
  const Tensor frame = read_frame<float>(whole(2), whole(3));
  video::change_colours(c, frame.view());
  write_frame<float>(frame);
}
