// compare_page FILE [measured]: the page of a comparison whose rows are made up, for the test of
// it.
#include <fstream>
#include "tools/compare/trial.h"
#include "tools/compare_page/page.h"

using namespace kinema::tools::compare;

namespace {

/// One pass in one type on one layer, by all backends.
void add_rows(Comparison& c, const std::string& operation, Precision type, int layer,
              bool measured) {
  const double pixels = 5e5, channels = 16 << layer, size = double(size_of(dtype_of(type)));
  Row r;
  r.operation = operation;
  r.pass = "forward";
  r.dtype = name_of(type);
  r.shape = "x=8,16,56,56," + std::to_string(16 << layer);
  r.name = "layer " + std::to_string(layer);
  r.bytes = 2 * pixels * channels * size;
  r.flop = operation == "copy" ? 0 : 54 * pixels * channels * channels;
  r.floor = std::max(r.bytes / best_bytes, r.flop / best_flop(type));
  r.bound = 1e-3;
  r.reason = "inputs rounded, sums in f32";
  int number = 0;
  for (const char* backend : {"cuda", "cudnn", "cpu"}) {
    r.backend = backend;
    r.error = 1e-4 * ++number;
    if (measured && number < 3) {
      r.seconds = r.floor * (2 - 0.1 * layer + 0.3 * number) + 1e-6;
      r.low = 0.98 * r.seconds;
      r.high = 1.07 * r.seconds;
      r.ratio = number == 1 ? 1.25 : 1;
    } else {
      r.seconds = r.low = r.high = r.ratio = NAN;
    }
    c.rows.push_back(r);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) return 2;
  const bool measured = count > 2;
  Comparison c{.command = "kinema compare --html <b>page</b>.html", .machine = "made up & <odd>"};
  c.versions = {{"kinema", "0"}};
  for (const char* operation : {"conv3d", "copy"})
    for (const Precision type : {Precision::f32, Precision::tf32, Precision::bf16, Precision::f16})
      for (int layer = 0; layer < 5; ++layer) add_rows(c, operation, type, layer, measured);
  c.rows[1].state = Row::State::wrong;
  c.rows[1].error = 0.5;
  c.rows[1].note = "<script>alert(1)</script>";
  c.rows[2].state = Row::State::refused;
  c.rows[2].error = NAN;
  c.rows[2].note = "no such case";
  c.rows[0].plan = "tiles of 128 x 128\n4 stages";
  std::ofstream(words[1]) << kinema::tools::compare_page::page_of(c);
}
