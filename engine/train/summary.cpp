#include "engine/train/summary.h"
#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include "engine/trace.h"

namespace kinema::engine::train {

namespace {

using Triple = std::array<int64_t, 3>;

/// What one element of a tensor sees of the clip, and how far apart neighbours' fields lie.
struct Field {
  Triple size{1, 1, 1}, jump{1, 1, 1};
};

bool moves_only(const std::string& op) {
  for (const char* name : {"slice", "reshape", "permute", "concat", "contiguous"})
    if (op == name) return true;
  return false;
}

/// Records each operation as a layer. A field belongs to a storage, so views keep theirs; rows that
/// a flatten made of frames and pixels have a field of their own beside it.
class Recorder : public Observer {
 public:
  Recorder(const nn::Module& network, const Tensor& clip) : clip_(clip.shape()) {
    for (const nn::NamedTensor& p : network.parameters()) {
      const size_t dot = p.name.rfind('.');
      const int64_t size = p.tensor->size();
      own_[dot == std::string::npos ? "" : p.name.substr(0, dot)] += size;
      summary.parameters += size;
    }
    fields_[key_of(clip)] = {};
    kept_.push_back(clip.storage);
  }

  void saw(const char* op, const Tensor& y, const std::vector<Tensor>& inputs,
           const Work& work) override {
    const Field field = grown(op, y, inputs, work.window);
    // Branches that write into slices of one tensor share its field: the largest.
    Field& held = fields_[key_of(y)];
    for (size_t a = 0; a < 3; ++a) {
      held.size[a] = std::max(held.size[a], field.size[a]);
      held.jump[a] = std::max(held.jump[a], field.jump[a]);
    }
    kept_.push_back(y.storage);
    if (moves_only(op)) return;
    Layer layer{current_path(), op, y.shape()};
    layer.parameters = std::exchange(own_[layer.path], 0);
    layer.macs = work.macs;
    layer.activation_bytes = kernels::span(y.layout) * kernels::size_of(y.dtype());
    for (size_t a = 0; a < 3; ++a)
      layer.receptive_field[a] = std::min(field.size[a], clip_[int(a) + 1]);
    summary.macs += layer.macs;
    summary.activation_bytes += layer.activation_bytes;
    summary.layers.push_back(layer);
  }

  Summary summary;

 private:
  using Key = std::pair<const Storage*, bool>;
  static Key key_of(const Tensor& t) { return {t.storage.get(), t.rank() <= 2}; }

  /// The field of y: the largest of the inputs', grown by the window.
  Field grown(const std::string& op, const Tensor& y, const std::vector<Tensor>& inputs,
              const Window& window) {
    Field all;
    bool any = false;
    for (const Tensor& x : inputs) {
      const auto found = x ? fields_.find(key_of(x)) : fields_.end();
      if (found == fields_.end()) continue;
      for (size_t a = 0; a < 3; ++a) {
        all.size[a] = std::max(any ? all.size[a] : 1, found->second.size[a]);
        all.jump[a] = std::max(any ? all.jump[a] : 1, found->second.jump[a]);
      }
      any = true;
    }
    Window w = window;
    // Flattening lays a clip's frames and pixels side by side: what follows mixes them all.
    const bool flat = op == "reshape" && y.rank() == 2 && inputs[0].rank() == 5;
    if (flat && y.shape(0) == inputs[0].shape(0))
      w.size = {inputs[0].shape(1), inputs[0].shape(2), inputs[0].shape(3)};
    for (size_t a = 0; a < 3; ++a) {
      all.size[a] += (w.size[a] - 1) * all.jump[a];
      all.jump[a] *= w.stride[a];
    }
    return all;
  }

  Shape clip_;
  std::map<std::string, int64_t> own_;
  std::map<Key, Field> fields_;
  std::vector<StoragePtr> kept_;  ///< no address may come twice
};

template <class Sizes>
std::string joined(const Sizes& sizes) {
  std::string text;
  for (int64_t size : sizes) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text;
}

/// 1234567 as 1,234,567.
std::string grouped(int64_t n) {
  std::string digits = std::to_string(n);
  for (int at = int(digits.size()) - 3; at > 0; at -= 3) digits.insert(size_t(at), ",");
  return digits;
}

}  // namespace

Summary summarise(const nn::Module& network, const Shape& input,
                  const std::function<Tensor(const Tensor&)>& forward) {
  check(input.rank == 5, "summary: expected a clip [N,T,H,W,C], got ", input);
  NoGrad off_tape;
  DeviceScope meta(Device::meta);
  const Tensor clip = empty(input);
  Recorder recorder(network, clip);
  forward(clip);
  return recorder.summary;
}

void to_json(nlohmann::json& j, const Summary& s) {
  nlohmann::json layers = nlohmann::json::array();
  for (const Layer& l : s.layers)
    layers.push_back({{"path", l.path},
                      {"op", l.op},
                      {"output", std::vector<int64_t>(l.output.begin(), l.output.end())},
                      {"parameters", l.parameters},
                      {"macs", l.macs},
                      {"activation_bytes", l.activation_bytes},
                      {"receptive_field", l.receptive_field}});
  j = {{"parameters", s.parameters},
       {"macs", s.macs},
       {"activation_bytes", s.activation_bytes},
       {"layers", layers}};
}

std::string table_of(const Summary& s) {
  const char* row = "{:<22} {:<19} {:>17} {:>12} {:>15} {:>13}  {}\n";
  std::string text = fmt::format(fmt::runtime(row), "layer", "operation", "output", "parameters",
                                 "multiply-adds", "bytes", "sees T x H x W");
  for (const Layer& l : s.layers)
    text += fmt::format(fmt::runtime(row), l.path, l.op, joined(l.output), grouped(l.parameters),
                        grouped(l.macs), grouped(l.activation_bytes), joined(l.receptive_field));
  return text + fmt::format(fmt::runtime(row), "total", "", "", grouped(s.parameters),
                            grouped(s.macs), grouped(s.activation_bytes), "");
}

}  // namespace kinema::engine::train
