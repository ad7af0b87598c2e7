#include <fstream>
#include "engine/data/lists.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

namespace fs = std::filesystem;
using namespace kinema::engine::video;
using Names = std::vector<std::string>;

/// A folder with a list and the files that it names.
struct Lists : Folder {
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((*this / name).parent_path());
    std::ofstream(*this / name, std::ios::binary) << text;
    return (*this / name).string();
  }
  Dataset csv(const std::string& text, const ListOptions& options = {.files_exist = false}) const {
    return read_csv(write("list.csv", text), options);
  }
  /// What read_csv says, without the part that names the list.
  std::string said(const std::string& text,
                   const ListOptions& options = {.files_exist = false}) const {
    std::string all = refusal([&] { csv(text, options); });
    const std::string prefix = "data: " + (*this / "list.csv").string() + " ";
    EXPECT_TRUE(all.starts_with(prefix)) << all;
    return all.substr(std::min(all.size(), prefix.size()));
  }
};

/// Every field, as -Wextra wants it.
ListOptions with(Names classes, std::optional<bool> multi_label = {}) {
  return {
      .root = "", .classes = std::move(classes), .multi_label = multi_label, .files_exist = false};
}

TEST(CsvList, ReadsPathsAndLabels) {
  const Lists f;
  f.write("videos/b.mp4", "x");
  f.write("a, \"b\".mp4", "x");
  f.write("/../up.mp4", "x");
  const Dataset d = f.csv(
      "\xef\xbb\xbf"
      "Path,Label\r\n\r\nvideos/b.mp4 , walk\r\n\"a, \"\"b\"\".mp4\",\"run\"\r\n"
      "videos/b.mp4,walk",
      {});
  EXPECT_EQ(d.classes, (Names{"run", "walk"}));
  ASSERT_EQ(d.samples.size(), 3u);
  EXPECT_EQ(d.samples[0], (Sample{(f / "videos/b.mp4").string(), 1}));
  EXPECT_EQ(d.samples[1], (Sample{(f / "a, \"b\".mp4").string(), 0}));
  EXPECT_FALSE(d.multi_label);
  EXPECT_EQ(name_of(d, d.samples[0]), "videos/b.mp4");
  EXPECT_EQ(f.csv("a.mp4,x", {.root = "/data", .files_exist = false}).samples[0].path,
            "/data/a.mp4");
  EXPECT_EQ(f.csv("/abs/a.mp4,x").samples[0].path, "/abs/a.mp4");
}

TEST(CsvList, NumbersAreClassesByValue) {
  const Lists f;
  EXPECT_EQ(f.csv("a,10\nb,9\nc,0\n").classes, (Names{"0", "9", "10"}));
  const Dataset d = f.csv("a,2\nb,x\n", with({"x", "y", "z"}));
  EXPECT_EQ(d.samples[0].label, 2);
  EXPECT_EQ(d.samples[1].label, 0);
  // A class of that name wins over the number.
  EXPECT_EQ(f.csv("a,1\n", with({"1", "2"})).samples[0].label, 0);
}

TEST(CsvList, SeveralLabelsMakeAMultiLabelSet) {
  const Lists f;
  const Dataset d = f.csv("a,run; jump\nb,\"run\"\nc,\"walk;run\"\n");
  EXPECT_TRUE(d.multi_label);
  EXPECT_EQ(d.classes, (Names{"jump", "run", "walk"}));
  EXPECT_EQ(d.samples[0].labels, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(d.samples[1].labels, (std::vector<int64_t>{1}));
  EXPECT_EQ(d.samples[2].labels, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(d.samples[2].label, 1);
  const Dataset forced = f.csv("a,run\n", with({"run"}, true));
  EXPECT_EQ(forced.samples[0].labels, (std::vector<int64_t>{0}));
}

TEST(CsvList, TakesUtf8Alone) {
  const Lists f;
  EXPECT_EQ(f.csv("a,gr\xc3\xb6\xc3\x9f"
                  "er\nb,\xf0\x9f\x98\x80\n")
                .classes.size(),
            2u);
  // Latin-1; cut off; a zero byte; longer than needed; a surrogate; above U+10FFFF.
  for (const std::string& bad :
       {std::string("l\xe9"
                    "ft"),
        std::string("\xe2\x82"), std::string("x\0y", 3), std::string("\xc0\xaf"),
        std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80")})
    EXPECT_EQ(f.said("a,x\nb," + bad + "\n"),
              "line 2: this is no UTF-8 text; save the list as UTF-8");
}

TEST(CsvList, NamesTheLineThatIsWrong) {
  const Lists f;
  EXPECT_EQ(f.said("a,x\nb\n"), "line 2: no comma in 'b'; expected path,label");
  EXPECT_EQ(f.said("path,label\n,x\n"), "line 2: the path is empty in ',x'");
  EXPECT_EQ(f.said("a,\n"), "line 1: the label is empty in 'a,'");
  EXPECT_EQ(f.said("a,x;;y\n"), "line 1: the label is empty in 'a,x;;y'");
  EXPECT_EQ(f.said("a,x;y;x\n"), "line 1: label 'x' comes twice");
  EXPECT_EQ(f.said("a,x,3\n"),
            "line 1: more than two fields in 'a,x,3'; expected path,label (in double quotes where "
            "a comma belongs to a field)");
  EXPECT_EQ(f.said("\n\n\"a,x\n"), "line 3: the quote is not closed in '\"a,x'");
  EXPECT_EQ(f.said("\"a\"b,x\n"), "line 1: expected a comma behind the quote in '\"a\"b,x'");
  EXPECT_EQ(f.said("a,jumpp\n", with({"jump", "run"})),
            "line 1: unknown label 'jumpp'; did you mean 'jump'?");
  EXPECT_EQ(f.said("a,2\n", with({"jump", "run"})),
            "line 1: unknown label '2'; known: 'jump', 'run'");
  EXPECT_EQ(f.said("a,x\nb,x;y\n", with({"x", "y"}, false)),
            "line 2: several labels in 'b,x;y', but the network was trained on one a video");
  EXPECT_EQ(f.said("a,x\nb,y\n./a,y\n"),
            "line 3: ./a has another label than in line 1; several labels of a video stand in one "
            "line, as in a;b");
  const std::string list = (f / "list.csv").string(), root = f.path().string();
  EXPECT_EQ(refusal([&] { f.csv("path,label\n"); }),
            "data: " + list + " lists no videos; expected lines of path,label");
  f.write("d", "x");
  EXPECT_EQ(refusal([&] { f.csv("a,x\nb,x\nc,y\nd,y\ne,y\n", {}); }),
            "data: 4 of 5 videos of " + list + " do not exist: " + root + "/a (" + list +
                " line 1), " + root + "/b (" + list + " line 2), " + root + "/c (" + list +
                " line 3), ...; paths count from " + root + " (see --root)");
  EXPECT_EQ(refusal([&] { read_csv("/none.csv"); }), "data: cannot open the list /none.csv");
}

TEST(CsvList, ReadsClassNames) {
  const Lists f;
  EXPECT_EQ(read_classes(f.write("c.txt", "run\r\n\njump up\n")), (Names{"run", "jump up"}));
  const std::string path = f.write("c.txt", "a\nb\na\n");
  EXPECT_EQ(refusal([&] { read_classes(path); }),
            "data: " + path + " line 3: class 'a' stands in line 1 already");
  f.write("c.txt", "\n");
  EXPECT_EQ(refusal([&] { read_classes(path); }),
            "data: " + path + " names no classes; expected one a line");
}

struct Ucf : Lists {
  Ucf() {
    write("splits/classInd.txt", "1 ApplyEyeMakeup\r\n2 Archery\r\n");
    write("splits/trainlist01.txt",
          "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\nArchery/v_Archery_g08_c01.avi 2\r\n");
    write("splits/testlist01.txt", "Archery/v_Archery_g01_c01.avi\r\n");
    for (const char* name : {"v_ApplyEyeMakeup_g08_c01", "v_Archery_g08_c01", "v_Archery_g01_c01"})
      write(std::string("videos/") + (name[3] == 'p' ? "ApplyEyeMakeup/" : "") + name + ".avi", "");
  }
  Split read(bool files_exist = true, int64_t fold = 1) const {
    return read_official((*this / "videos").string(), (*this / "splits").string(), fold,
                         files_exist);
  }
  std::string said(bool files_exist = false, int64_t fold = 1) const {
    return refusal([&] { read(files_exist, fold); });
  }
  std::string list(const std::string& name) const { return (*this / ("splits/" + name)).string(); }
};

TEST(OfficialSplits, ReadsUcf101) {
  const Ucf f;
  const Split s = f.read();
  EXPECT_EQ(s.train.classes, (Names{"ApplyEyeMakeup", "Archery"}));
  // The second lies flat in the folder of videos.
  EXPECT_EQ(
      s.train.samples,
      (std::vector<Sample>{{(f / "videos/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi").string(), 0},
                           {(f / "videos/v_Archery_g08_c01.avi").string(), 1}}));
  EXPECT_EQ(s.held_out.samples,
            (std::vector<Sample>{{(f / "videos/v_Archery_g01_c01.avi").string(), 1}}));
}

TEST(OfficialSplits, NamesWrongLinesOfUcf101) {
  const Ucf f;
  const std::string where = "data: " + f.list("trainlist01.txt") + " line 1: ";
  f.write("splits/trainlist01.txt", "Archery/a.avi\n");
  EXPECT_EQ(f.said(), where + "expected 'CLASS/VIDEO.avi NUMBER', got 'Archery/a.avi'");
  f.write("splits/trainlist01.txt", "a.avi 1\n");
  EXPECT_EQ(f.said(), where + "expected 'CLASS/VIDEO.avi NUMBER', got 'a.avi 1'");
  f.write("splits/trainlist01.txt", "Bowling/a.avi 1\n");
  EXPECT_EQ(f.said(), where + "class 'Bowling' does not stand in classInd.txt");
  f.write("splits/trainlist01.txt", "Archery/a.avi 1\n");
  EXPECT_EQ(f.said(), where + "class 'Archery' has number 2 in classInd.txt, not 1");
  f.write("splits/trainlist01.txt", "Archery/a.avi 2\n");
  EXPECT_EQ(f.said(true), "data: 1 of 1 videos of " + (f / "splits").string() +
                              " does not exist: " + (f / "videos/Archery/a.avi").string() + " (" +
                              f.list("trainlist01.txt") + " line 1); they were looked for in " +
                              (f / "videos").string());
  EXPECT_EQ(f.said(false, 2), "data: cannot open the list " + f.list("trainlist02.txt"));
  f.write("splits/classInd.txt", "1 A\n3 B\n");
  EXPECT_EQ(f.said(), "data: " + f.list("classInd.txt") + " line 2: expected '2 CLASS', got '3 B'");
}

TEST(OfficialSplits, ReadsHmdb51) {
  const Lists f;
  f.write("splits/wave_test_split1.txt", "w1.avi 1 \nw 2.avi 2 \nw3.avi 0 \n");
  f.write("splits/cartwheel_test_split1.txt", "c1.avi 2 \nc2.avi 1 \n");
  f.write("splits/wave_test_split2.txt", "w1.avi 3\n");
  for (const char* name : {"wave/w1", "wave/w 2", "cartwheel/c1", "cartwheel/c2"})
    f.write(std::string("videos/") + name + ".avi", "");
  const std::string videos = (f / "videos").string(), splits = (f / "splits").string();
  const Split s = read_official(videos, splits, 1);
  EXPECT_EQ(s.train.classes, (Names{"cartwheel", "wave"}));
  EXPECT_EQ(s.train.samples,
            (std::vector<Sample>{{videos + "/cartwheel/c2.avi", 0}, {videos + "/wave/w1.avi", 1}}));
  EXPECT_EQ(s.held_out.samples, (std::vector<Sample>{{videos + "/cartwheel/c1.avi", 0},
                                                     {videos + "/wave/w 2.avi", 1}}));
  const auto said = [&](int64_t fold) {
    return refusal([&] { read_official(videos, splits, fold); });
  };
  EXPECT_EQ(said(2), "data: " + splits +
                         "/wave_test_split2.txt line 1: expected 'VIDEO.avi 0', 1 or 2, got "
                         "'w1.avi 3'");
  EXPECT_EQ(said(3), "data: " + splits +
                         " holds no split 3; expected UCF101's classInd.txt, trainlist03.txt and "
                         "testlist03.txt, or HMDB51's CLASS_test_split3.txt");
  f.write("splits/wave_test_split2.txt", "w1.avi 1\n");
  EXPECT_EQ(said(2), "data: split 2 in " + splits + " marks no video for testing (2)");
  EXPECT_EQ(refusal([&] { read_official(videos, splits + "x", 1); }),
            "data: no such folder: " + splits + "x");
}

TEST(DataSet, DigestTellsListsApartWhereverTheyLie) {
  const Lists f, g;
  const std::string text = "a.mp4,x\nb.mp4,y\n";
  const std::string one = digest(f.csv(text));
  EXPECT_EQ(one.size(), 16u);
  EXPECT_EQ(digest(g.csv(text)), one);
  EXPECT_NE(digest(f.csv("b.mp4,y\na.mp4,x\n")), one);
  EXPECT_NE(digest(f.csv("a.mp4,y\nb.mp4,x\n")), one);
  EXPECT_NE(digest(f.csv("a.mp4,x\nb.mp4,z\n")), one);
  EXPECT_NE(digest(f.csv("a.mp4,x\nb.mp4,x;y\n")), digest(f.csv("a.mp4,x;y\nb.mp4,x\n")));
}

TEST(DataSet, TakesOverTheClassesOfANetwork) {
  const Lists f;
  const Dataset d = with_classes(f.csv("a,z\nb,x;z\n"), {"z", "y", "x"}, "set", "the network");
  EXPECT_EQ(d.samples[0].labels, (std::vector<int64_t>{0}));
  EXPECT_EQ(d.samples[1].labels, (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(refusal([&] {
              with_classes(d, {"x", "y"}, "set", "the network");
            }),
            "set has class 'z', which the network does not know; it knows x, y");
}

TEST(DataSet, RemarksOnThinClasses) {
  const Lists f;
  const Names classes{"a", "b", "c"};
  const Dataset train = f.csv("1,a\n2,a\n3,b\n", with(classes)),
                held = f.csv("4,a\n", with(classes));
  EXPECT_EQ(remarks(train, held), (Names{"1 of 3 classes has no video to train on: c",
                                         "1 of 3 classes has a single video to train on: b",
                                         "2 of 3 classes have no video to evaluate on: b, c"}));
  EXPECT_EQ(remarks(f.csv("1,a\n2,a\n"), f.csv("1,a\n")), Names{});
}

}  // namespace
}  // namespace kinema::test
