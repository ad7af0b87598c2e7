#include <gtest/gtest.h>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include "engine/io/event_file.h"
#include "engine/io/files.h"
#include "engine/report/chart.h"
#include "engine/report/confusion.h"
#include "engine/report/filters.h"
#include "engine/report/html.h"
#include "engine/report/page.h"
#include "engine/train/step_log.h"
#include "tests/support/check.h"
#include "tests/support/folder.h"

namespace kinema::test {
namespace {

using namespace engine::report;
using engine::train::LoggedStep, engine::train::Score, engine::train::StepLog;

std::string text_of(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

int64_t count_of(const std::string& text, const std::string& part) {
  int64_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
  return n;
}

TEST(Html, EscapesAndReplacesWhatIsNoText) {
  EXPECT_EQ(escape("<b a=\"x\" c='y'>&"), "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;");
  EXPECT_EQ(escape("caf\xC3\xA9 \xF0\x9F\x8E\xA5"), "caf\xC3\xA9 \xF0\x9F\x8E\xA5");
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(clean("a\xFFz"), "a" + bad + "z");
  EXPECT_EQ(clean("\xC3"), bad);                                   // cut short
  EXPECT_EQ(clean("\xC0\xAF"), bad + bad);                         // overlong "/"
  EXPECT_EQ(clean("\xED\xA0\x80"), bad + bad + bad);               // a surrogate
  EXPECT_EQ(clean(std::string("\0\x1B\n", 3)), bad + bad + "\n");  // control characters
  EXPECT_EQ(clean("\xC2\x85\x7F"), bad + bad + bad);               // NEL, DEL
  EXPECT_EQ(escape("\xC3\xA9\xC3\xA9\xC3\xA9", 2), "\xC3\xA9\xC3\xA9\xE2\x80\xA6");
  EXPECT_EQ(escape("ab", 2), "ab");
}

TEST(Html, Base64OfTheStandard) {
  // RFC 4648, section 10.
  const std::vector<std::string> texts = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
  const std::vector<std::string> codes = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                          "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(base64(texts[i]), codes[i]);
  EXPECT_EQ(base64("\xFB\xFF\xFE"), "+//+");
}

TEST(Curve, IsBoundedAndKeepsTheMean) {
  Curve c("c", 100);
  double sum = 0;
  const int64_t all = 12345;
  for (int64_t i = 0; i < all; ++i) {
    c.add(double(i), double(i * i % 97));
    sum += double(i * i % 97);
  }
  const std::vector<Curve::Point> points = c.points();
  ASSERT_LE(points.size(), 100u);
  ASSERT_GT(points.size(), 49u);
  EXPECT_EQ(c.per_point(), 128);
  double found = 0;
  for (size_t i = 0; i + 1 < points.size(); ++i) {
    found += points[i].y * 128;
    EXPECT_LT(points[i].x, points[i + 1].x);
  }
  EXPECT_NEAR(found + points.back().y * double(all - 128 * int64_t(points.size() - 1)), sum, 1e-6);
}

TEST(Curve, WhatIsNotFiniteIsLeftOut) {
  Curve c("c");
  c.add(1, NAN);
  c.add(2, INFINITY);
  EXPECT_EQ(svg_of({.title = "t", .x_name = "x", .curves = {c}}), "");
  c.add(3, 5);
  EXPECT_EQ(c.points().size(), 1u);
  EXPECT_EQ(count_of(svg_of({.title = "t", .x_name = "x", .curves = {c}}), "<circle"), 1);
}

TEST(Chart, TicksCoverTheRange) {
  EXPECT_EQ(ticks(0, 1, 4), (std::vector<double>{0, 0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(ticks(3, 17, 4), (std::vector<double>{0, 5, 10, 15, 20}));
  for (const auto& [low, high] : {std::pair{-3.7, 12.2},
                                  {1e-7, 3e-7},
                                  {5.0, 5.0},
                                  {0.0, 0.0},
                                  {-1e9, 1e12},
                                  {2.3, 2.3000001}}) {
    const std::vector<double> t = ticks(low, high, 4);
    const double rounding = 1e-5 * (t[1] - t[0]);
    EXPECT_LE(t.front(), low + rounding) << low << " " << high;
    EXPECT_GE(t.back(), high - rounding) << low << " " << high;
    EXPECT_GE(t.size(), 2u);
    EXPECT_LE(t.size(), 8u);
  }
}

TEST(Chart, PointsLieWhereTheirValuesSay) {
  Curve c("c");
  c.add(0, 0);
  c.add(10, 1);
  const std::string svg = svg_of({.title = "<t>", .x_name = "x", .curves = {c}});
  EXPECT_NE(svg.find("points=\"46.00,178.00 392.00,8.00\""), svg.npos) << svg;
  EXPECT_NE(svg.find("data-frame=\"0 10 0 1\""), svg.npos) << svg;
  EXPECT_NE(svg.find("&lt;t&gt;"), svg.npos);
  EXPECT_EQ(svg.find("<t>"), svg.npos);
}

TEST(Chart, NumbersAreShort) {
  EXPECT_EQ(short_number(0.25, Unit::percent), "25%");
  EXPECT_EQ(short_number(123456789), "123.5M");
  EXPECT_EQ(short_number(12345), "12.35k");
  EXPECT_EQ(short_number(2.5e9, Unit::bytes), "2.5 GB");
  EXPECT_EQ(short_number(0.0123, Unit::seconds), "12.3 ms");
  EXPECT_EQ(short_number(7200, Unit::seconds), "120 min");
  EXPECT_EQ(short_number(NAN), "-");
}

Score score(const std::string& label, const std::string& predicted) {
  return {.path = label + ".mp4",
          .label = label,
          .predicted = predicted,
          .probability = 0.5,
          .rank = label == predicted ? 1 : 2,
          .loss = 1};
}

TEST(Confusion, CountsAndTables) {
  const Confusion c = confusion_of(
      {"a", "</script>", "c"}, {score("a", "a"), score("a", "</script>"), score("a", "</script>"),
                                score("</script>", "a"), score("new", "new")});
  EXPECT_EQ(c.classes, (std::vector<std::string>{"a", "</script>", "c", "new"}));
  EXPECT_EQ(c.videos, (std::vector<int64_t>{3, 1, 0, 1}));
  EXPECT_EQ(c.counts.at({0, 1}), 2);
  const std::string map = heat_map(c);
  EXPECT_EQ(count_of(map, "</script>"), 1) << "a name ends the element";
  EXPECT_NE(map.find("\"cells\":[0,0,1,0,1,2,1,0,1,3,3,1]"), map.npos) << map;
  EXPECT_EQ(count_of(map, "mid count"), 4);
  const std::string wrong = mistakes(c);
  EXPECT_LT(wrong.find("66.7%"), wrong.find("100.0%")) << "the most frequent first";
  const std::string classes = per_class(c);
  EXPECT_LT(classes.find("&lt;/script&gt;"), classes.find(">a<"));
  EXPECT_EQ(classes.find(">c<"), classes.npos) << "a class without videos";
  EXPECT_EQ(mistakes(confusion_of({}, {score("a", "a")})), "");
}

TEST(Confusion, StaysSmallWithManyClasses) {
  std::vector<std::string> names;
  std::vector<Score> scores;
  for (int i = 0; i < 401; ++i) names.push_back("class" + std::to_string(i));
  for (size_t i = 0; i < 400; ++i)
    for (size_t j = 0; j < 50; ++j) scores.push_back(score(names[i], names[(i * j) % 400]));
  EXPECT_EQ(heat_map(confusion_of(names, scores)), "");
  names.pop_back();
  const std::string map = heat_map(confusion_of(names, scores));
  EXPECT_LE(count_of(map, "<path"), 16);
  EXPECT_LT(map.size(), 1000000u);
  EXPECT_EQ(count_of(mistakes(confusion_of(names, scores)), "<tr>"), 21);
}

LoggedStep step(int64_t i) {
  return {.metrics = {.step = i,
                      .epoch = 1 + i / 4,
                      .learning_rate = 0.1 / double(i),
                      .loss = 1.0 / 3,
                      .gradient_norm = NAN,
                      .clips_per_second = 5,
                      .data_wait = 0.5,
                      .memory = 1000},
          .seconds = 0};
}

std::vector<int64_t> steps_in(const std::filesystem::path& path) {
  std::vector<int64_t> found;
  engine::train::read_steps(path, [&](const LoggedStep& s) {
    EXPECT_EQ(s.metrics.loss, 1.0 / 3) << "not the shortest exact text";
    EXPECT_EQ(s.metrics.learning_rate, 0.1 / double(s.metrics.step));
    EXPECT_TRUE(std::isnan(s.metrics.gradient_norm));
    found.push_back(s.metrics.step);
  });
  return found;
}

TEST(StepLog, GoesOnWhereTheCheckpointStands) {
  const Folder folder;
  const std::filesystem::path path = folder / "steps.csv";
  {
    StepLog log(path, 0);
    for (int64_t i = 1; i <= 6; ++i) log.after_step(step(i).metrics);
  }
  EXPECT_EQ(steps_in(path), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
  EXPECT_EQ(steps_in(path), (std::vector<int64_t>{1, 2, 3, 4, 5})) << "a cut line is no line";
  {
    StepLog log(path, 4);
    log.after_step(step(5).metrics);
  }
  EXPECT_EQ(steps_in(path), (std::vector<int64_t>{1, 2, 3, 4, 5}));
  { StepLog log(path, 0); }
  EXPECT_EQ(steps_in(path), std::vector<int64_t>{}) << "a new run";
}

TEST(EventFile, ChecksumsOfTheStandard) {
  // RFC 3720, B.4.
  EXPECT_EQ(engine::io::crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(engine::io::crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(engine::io::crc32c("123456789"), 0xE3069283u);
}

TEST(EventFile, NamesSortInOrder) {
  const Folder folder;
  for (int i = 0; i < 12; ++i) engine::io::EventFile(folder.path(), 1);
  std::vector<std::filesystem::file_time_type> times;
  const std::vector<std::string> names = folder.entries();
  ASSERT_EQ(names.size(), 12u);
  for (size_t i = 0; i < names.size(); ++i)
    EXPECT_NE(names[i].find("." + std::string(i < 10 ? "000" : "00") + std::to_string(i) + "."),
              std::string::npos)
        << names[i];
  EXPECT_NE(refusal([&] { engine::io::EventFile(folder / "none", 1); }), "");
}

struct Net : engine::nn::Module {
  explicit Net(const engine::Shape& shape, const std::vector<float>& values)
      : first(engine::from_vector<float>({2, 1, 1, 1, 5}, std::vector<float>(10))),
        colours(engine::from_vector<float>(shape, values)) {
    add_parameter("other.weight", first);
    add_parameter("conv.weight", colours);
  }
  engine::Tensor first, colours;
};

TEST(Filters, PicturesHoldTheWeights) {
  // 2 filters of 2 frames of 1 x 1: the second is all 0.
  const Net net({2, 2, 1, 1, 3}, {2, -1, 0, 1, 0.5f, -2, 0, 0, 0, 0, 0, 0});
  const Filters f = filters_of(net);
  EXPECT_EQ(f.name, "conv.weight");
  EXPECT_EQ(f.frames(), 2);
  const engine::Tensor grid = moving_grid(f), sheet = contact_sheet(f);
  EXPECT_EQ(grid.shape(), (engine::Shape{1, 2, 56, 108, 3}));
  EXPECT_EQ(sheet.shape(), (engine::Shape{1, 1, 108, 108, 3}));
  const auto pixel = [](const engine::Tensor& t, int64_t frame, int64_t y, int64_t x) {
    const uint8_t* p =
        engine::data<uint8_t>(t) + frame * t.view().stride(1) + y * t.view().stride(2) + 3 * x;
    return std::vector<int>{p[0], p[1], p[2]};
  };
  // 127.5 + 127.5 w / 2, rounded.
  const std::vector<int> first = {255, 64, 128}, second = {191, 159, 0}, grey = {128, 128, 128};
  EXPECT_EQ(pixel(grid, 0, 4, 4), first);
  EXPECT_EQ(pixel(grid, 0, 51, 51), first);
  EXPECT_EQ(pixel(grid, 1, 20, 20), second);
  EXPECT_EQ(pixel(grid, 1, 20, 60), grey);
  EXPECT_EQ(pixel(grid, 1, 20, 52), (std::vector<int>{24, 24, 24}));
  EXPECT_EQ(pixel(sheet, 0, 20, 20), first);
  EXPECT_EQ(pixel(sheet, 0, 20, 60), second);
  EXPECT_EQ(pixel(sheet, 0, 60, 20), grey);
}

TEST(Filters, StackedFramesBecomeFramesAgain) {
  // [1,1,1,2,6]: two pixels, each colours of frame 0, then of frame 1.
  const Net net({1, 1, 1, 2, 6}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const Filters f = filters_of(net, "conv");
  EXPECT_EQ(f.weights.shape(), (engine::Shape{1, 2, 1, 2, 3}));
  EXPECT_EQ(engine::to_vector<float>(f.weights),
            (std::vector<float>{1, 2, 3, 7, 8, 9, 4, 5, 6, 10, 11, 12}));
}

TEST(Filters, Refusals) {
  const Net net({1, 2, 1, 1, 4}, std::vector<float>(8));
  EXPECT_EQ(refusal([&] { filters_of(net); }),
            "filters: no convolution of the network sees colours; its convolutions: other.weight, "
            "conv.weight");
  EXPECT_EQ(refusal([&] { filters_of(net, "convv"); }),
            "filters: no layer 'convv'; its convolutions: other.weight, conv.weight");
  EXPECT_EQ(refusal([&] { filters_of(net, "conv"); }),
            "filters: conv.weight is [1,2,1,1,4]; expected a convolution over colours, "
            "[K,kt,kh,kw,3] or [K,1,kh,kw,3 T]");
}

TEST(Page, OfAnEmptyAndADamagedFolder) {
  const Folder folder;
  EXPECT_EQ(refusal([&] { write_report(folder.path()); }),
            "report: \"" + folder.path().string() + "\" holds no config.json; it is no run folder");
  engine::io::write_json(folder / "config.json", {{"model", "m"}});
  write_report(folder.path());
  EXPECT_NE(text_of(folder / "report.html").find("<h1>m "), std::string::npos);
  // What cannot be read is left out; the rest stands.
  std::ofstream(folder / "steps.csv") << "step,epoch\n1,2\n";
  std::ofstream(folder / "evaluation.csv") << "\"";
  std::ofstream(folder / "status.json") << "{";
  std::ofstream(folder / "metrics.csv") << "epoch,train_loss,val_top1\n1,2.5,\n2,1.5,0.25\n3,";
  write_report(folder.path());
  const std::string page = text_of(folder / "report.html");
  EXPECT_EQ(count_of(page, "<polyline"), 2);
  EXPECT_NE(page.find("25.0%<small>best, epoch 2"), std::string::npos);
}

TEST(Page, OfVideosWithSeveralLabels) {
  const Folder folder;
  engine::io::write_json(folder / "config.json",
                         {{"model", "m"}, {"classes", {"a", "b"}}, {"multi_label", true}});
  std::ofstream(folder / "metrics.csv") << "epoch,train_top1,val_top1,val_top5\n1,0.5,0.25,0.75\n";
  std::ofstream(folder / "evaluation.csv")
      << "path,label,predicted,correct,rank,loss,probability\nv.mp4,a;b,b,1,1,0.5,0.5\n";
  write_report(folder.path());
  const std::string page = text_of(folder / "report.html");
  for (const char* name : {"validation mAP</dt><dd>25.0%", "validation hit@1</dt><dd>75.0%", "a;b"})
    EXPECT_NE(page.find(name), std::string::npos) << name;
  for (const char* name : {"top-1", "id=\"classes\""})
    EXPECT_EQ(page.find(name), std::string::npos);
}

TEST(Page, IsBoundedAndEscaped) {
  const Folder folder;
  const std::string name = "<img src=x onerror=alert(1)>&\"'\xFF";
  engine::io::write_json(folder / "config.json", {{"model", "<m>"}, {"classes", {"a<b", "c"}}});
  {
    StepLog log(folder / "steps.csv", 0);
    for (int64_t i = 1; i <= 30000; ++i) log.after_step(step(i).metrics);
  }
  {
    std::ofstream out(folder / "evaluation.csv");
    out << "path,label,predicted,correct,rank,loss,probability\n";
    for (int i = 0; i < 5000; ++i)
      out << "/none/" << i << ".mp4,a<b,\"<img src=x onerror=alert(1)>&\"\"'\xFF\",0,2," << i
          << ",0.5\n";
    std::ofstream skipped(folder / "skipped.csv");
    skipped << "path,reason\n";
    for (int i = 0; i < 1000; ++i) skipped << "<f" << i << ">,\"broken, \"\"bad\"\"\"\n";
  }
  write_report(folder.path());
  const std::string page = text_of(folder / "report.html");
  EXPECT_EQ(page.find("<img"), page.npos) << "text became an element";
  EXPECT_EQ(page.find("<m>"), page.npos);
  EXPECT_EQ(clean(page), page) << "no UTF-8";
  EXPECT_EQ(count_of(page, "cannot be shown"), 12);
  EXPECT_NE(page.find("the first 200 of 1000"), page.npos);
  EXPECT_NE(page.find("each point is the mean of 16"), page.npos);
  EXPECT_LT(page.size(), 400000u);
}

}  // namespace
}  // namespace kinema::test
