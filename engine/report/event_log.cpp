#include "engine/report/event_log.h"
#include <algorithm>
#include <cmath>
#include <numeric>
#include "engine/data/image_writer.h"
#include "engine/report/filters.h"

namespace kinema::engine::report {

namespace {

/// Cells of shares of their row, from black to white, enlarged to about 256 pixels; counts beyond
/// 1024 classes would be no picture any more.
Tensor picture_of(const std::vector<std::vector<int64_t>>& confusion) {
  const auto n = int64_t(confusion.size());
  const int64_t scale = std::max<int64_t>(1, 256 / n), side = n * scale;
  const Tensor picture = empty({1, 1, side, side, 3}, Dtype::u8, Device::cpu);
  for (int64_t y = 0; y < side; ++y) {
    const std::vector<int64_t>& row = confusion[size_t(y / scale)];
    const int64_t all = std::max<int64_t>(1, std::accumulate(row.begin(), row.end(), int64_t(0)));
    uint8_t* to = data<uint8_t>(picture) + y * picture.view().stride(2);
    for (int64_t i = 0; i < 3 * side; ++i) to[i] = uint8_t(255 * row[size_t(i / 3 / scale)] / all);
  }
  return picture;
}

}  // namespace

EventLog::EventLog(const std::filesystem::path& folder, int64_t done, const nn::Module& network,
                   const optim::ParameterArena& arena)
    : network_(network), arena_(arena), file_(folder, done + 1) {}

void EventLog::after_step(const train::StepMetrics& m) {
  file_.scalars(m.step, {{"step/loss", m.loss},
                         {"step/learning_rate", m.learning_rate},
                         {"step/gradient_norm", m.gradient_norm},
                         {"step/clips_per_second", m.clips_per_second},
                         {"step/data_wait", m.data_wait},
                         {"step/memory_mb", double(m.memory) / 1e6}});
}

void EventLog::after_epoch(const train::EpochMetrics& m, const train::Evaluation* evaluation) {
  file_.scalars(m.step, {{"epoch/epoch", double(m.epoch)},
                         {"epoch/learning_rate", m.learning_rate},
                         {"epoch/train_loss", m.train_loss},
                         {"epoch/train_top1", m.train_top1},
                         {"epoch/val_loss", m.val_loss},
                         {"epoch/val_top1", m.val_top1},
                         {"epoch/val_top5", m.val_top5},
                         {"epoch/seconds", m.seconds},
                         {"epoch/data_wait", m.data_wait}});
  const Tensor gradients = arena_.gradients();
  for (size_t i = 0; i < arena_.count(); ++i) {
    file_.histogram(m.step, "weights/" + arena_.name(i), arena_.part(arena_.values(), i));
    file_.histogram(m.step, "gradients/" + arena_.name(i), arena_.part(gradients, i));
  }
  if (!evaluation) return;
  const auto picture = [&](const char* tag, const Tensor& t) {
    file_.image(m.step, tag, video::encode_png(t.view()), t.shape(2), t.shape(3));
  };
  const auto& confusion = evaluation->metrics.confusion();
  if (!confusion.empty() && confusion.size() <= 1024) picture("confusion", picture_of(confusion));
  try {
    picture("filters", contact_sheet(filters_of(network_)));
  } catch (const Error&) {
    // A network whose first layer sees no colours has none to show.
  }
}

}  // namespace kinema::engine::report
