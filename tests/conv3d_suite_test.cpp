#include "kernels/conv3d/conv3d_suite.h"
#include <fstream>
#include <set>
#include "kernels/conv3d/conv3d.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {

namespace {

using namespace kernels;

TEST(Conv3dSuite, RowsAreDistinctLayers) {
  const std::vector<Conv3dSuiteRow> rows = read_conv3d_suite();
  EXPECT_EQ(rows.size(), 169u);
  std::set<int> ids;
  int headlines = 0;
  for (const Conv3dSuiteRow& row : rows) {
    ids.insert(row.id);
    headlines += row.headline;
    const Shape y = conv3d_output(row.options, row.x, row.w);
    EXPECT_GT(y.size(), 0) << row.layer;
    // What the products alone take: the file's floors belong to the shapes beside them.
    const double flop = 2.0 * double(y.size()) * double(row.w.size() / row.w[0]);
    EXPECT_GE(row.floor_us[0] * 1.001, flop / 790e12 * 1e6) << row.layer;
  }
  EXPECT_EQ(ids.size(), rows.size());
  EXPECT_EQ(headlines, 12);
}

TEST(Conv3dSuite, ReadsEveryField) {
  const std::vector<Conv3dSuiteRow> rows = read_conv3d_suite();
  const auto stem = std::find_if(rows.begin(), rows.end(), [](auto& r) { return r.id == 8; });
  ASSERT_NE(stem, rows.end());
  EXPECT_EQ(stem->model, "i3d");
  EXPECT_EQ(stem->layer, "Conv3d_1a_7x7");
  EXPECT_EQ(stem->x, (Shape{8, 64, 224, 224, 3}));
  EXPECT_EQ(stem->w, (Shape{64, 7, 7, 7, 3}));
  EXPECT_EQ(stem->options.stride, (std::array<int64_t, 3>{2, 2, 2}));
  EXPECT_EQ(stem->options.pad_front, (std::array<int64_t, 3>{2, 2, 2}));
  EXPECT_EQ(stem->options.pad_back, (std::array<int64_t, 3>{3, 3, 3}));
  EXPECT_TRUE(stem->headline);
  EXPECT_EQ(stem->floor_us, (std::array<double, 3>{535.395, 0, 535.395}));
}

TEST(Conv3dSuite, BadFilesAreNamed) {
  const Folder folder;
  const std::string path = folder / "suite.csv";
  EXPECT_EQ(refusal([&] { read_conv3d_suite(path); }), "conv3d suite: cannot read " + path);
  const std::string names = "id,...\n", good = "1,m,l,8,3,16,112,112,64,3,3,3,1,1,1,1,1,1,1,1,1,";
  std::ofstream(path) << names << good << "1,0,1,2\n";
  EXPECT_EQ(refusal([&] { read_conv3d_suite(path); }), path + ":2: expected 26 fields, got 25");
  std::ofstream(path) << names << good << "1,x,1,2,3\n";
  EXPECT_EQ(refusal([&] { read_conv3d_suite(path); }),
            path + ":2: field 23: expected a number, got 'x'");
}

}  // namespace

}  // namespace kinema::test
