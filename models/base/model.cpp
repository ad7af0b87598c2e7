#include "models/base/model.h"
#include <nlohmann/json.hpp>
#include "engine/io/text.h"

namespace kinema::models {

using engine::check;

void to_json(nlohmann::json& j, const ModelOptions& o) {
  j = {{"classes", o.classes},
       {"frames", o.frames},
       {"height", o.height},
       {"width", o.width},
       {"widths", o.widths},
       {"hidden", o.hidden},
       {"batch_norm", o.batch_norm},
       {"dropout", o.dropout},
       {"same_padding", o.same_padding},
       {"multiresolution", o.multiresolution}};
}

void from_json(const nlohmann::json& j, ModelOptions& o) {
  const nlohmann::json known = o;
  for (const auto& [key, value] : j.items())
    check(known.contains(key), "model options: unknown field '", key, "'");
  o.classes = j.value("classes", o.classes);
  o.frames = j.value("frames", o.frames);
  o.height = j.value("height", o.height);
  o.width = j.value("width", o.width);
  o.widths = j.value("widths", o.widths);
  o.hidden = j.value("hidden", o.hidden);
  o.batch_norm = j.value("batch_norm", o.batch_norm);
  o.dropout = j.value("dropout", o.dropout);
  o.same_padding = j.value("same_padding", o.same_padding);
  o.multiresolution = j.value("multiresolution", o.multiresolution);
}

const Model& find_model(const std::string& name) {
  std::vector<std::string> names;
  for (const Model* m : models()) {
    if (name == m->name) return *m;
    names.push_back(m->name);
  }
  engine::fail("unknown model '", name, "'", engine::io::suggestion(name, names));
}

void check_clips(const char* model, const Tensor& clips, int64_t frames, int64_t height,
                 int64_t width) {
  const bool fits = clips.rank() == 5 && clips.shape(4) == 3 &&
                    (!frames || clips.shape(1) == frames) &&
                    (!height || clips.shape(2) == height) && (!width || clips.shape(3) == width);
  auto size = [](int64_t wanted, const char* any) {
    return wanted ? std::to_string(wanted) : std::string(any);
  };
  check(fits, model, ": expected clips [N,", size(frames, "T"), ",", size(height, "H"), ",",
        size(width, "W"), ",3], got ", clips.shape());
}

void check_options(const char* model, const ModelOptions& o) {
  check(o.classes >= 1, model, ": at least one class is needed, got ", o.classes);
  check(o.frames >= 1 && o.height >= 1 && o.width >= 1, model,
        ": clips need at least one frame and pixel, got ", o.frames, " frames of ", o.height, "x",
        o.width);
  check(!o.widths.empty(), model, ": at least one width is needed");
  for (int64_t w : o.widths) check(w >= 1, model, ": widths must be at least 1, got ", w);
  check(o.hidden >= 1, model, ": the hidden layer needs at least one unit, got ", o.hidden);
  check(o.dropout >= 0 && o.dropout < 1, model, ": dropout must be in [0, 1), got ", o.dropout);
}

}  // namespace kinema::models
