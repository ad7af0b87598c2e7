#include "engine/train/precise_norm.h"
#include <map>
#include <string>
#include "engine/ops/batch_norm.h"
#include "engine/ops/copy.h"

namespace kinema::engine::train {

namespace {

/// What one batch brought to one batch norm.
struct Seen {
  double count = 0;  ///< values a channel
  std::vector<float> mean, var;
};

/// Notes the statistics of whatever a batch norm reads, by the path of its module.
class Statistics : public Observer {
 public:
  void saw(const char* op, const Tensor& y, const std::vector<Tensor>& inputs,
           const Work&) override {
    if (std::string(op) != "batch_norm") return;
    const Tensor mean = empty({y.shape(-1)}, Dtype::f32, y.device()), var = empty_like(mean);
    batch_statistics(inputs[0], mean, var);
    const double count = double(y.size()) / double(y.shape(-1));
    seen_[current_path()].push_back({count, to_vector<float>(mean), to_vector<float>(var)});
  }

  /// Those of all values together. The spread of the means is added to the mean of the spreads, not
  /// found as a difference of squares, which would cancel.
  void into(const std::string& path, const Tensor& mean, const Tensor& var) const {
    const auto found = seen_.find(path);
    if (found == seen_.end()) return;
    double count = 0;
    for (const Seen& s : found->second) count += s.count;
    std::vector<float> means, vars;
    for (size_t c = 0; c < size_t(mean.size()); ++c) {
      double sum = 0, squares = 0;
      for (const Seen& s : found->second) sum += s.count / count * double(s.mean[c]);
      for (const Seen& s : found->second) {
        const double apart = double(s.mean[c]) - sum;
        squares += s.count / count * (double(s.var[c]) + apart * apart);
      }
      means.push_back(float(sum));
      vars.push_back(float(squares));
    }
    copy(from_vector<float>(mean.shape(), means, mean.device()), mean);
    copy(from_vector<float>(var.shape(), vars, var.device()), var);
  }

 private:
  std::map<std::string, std::vector<Seen>> seen_;
};

}  // namespace

void precise_norm(const nn::Module& network, const std::function<void()>& run) {
  Statistics statistics;
  {
    NoGrad off_tape;
    run();
  }
  std::map<std::string, Tensor> buffers;
  for (const nn::NamedTensor& b : network.buffers()) buffers[b.name] = *b.tensor;
  for (const auto& [name, mean] : buffers) {
    const size_t at = name.rfind("running_mean");
    if (at == std::string::npos) continue;
    const std::string prefix = name.substr(0, at), path = prefix.substr(0, at ? at - 1 : 0);
    statistics.into(path, mean, buffers.at(prefix + "running_var"));
  }
}

}  // namespace kinema::engine::train
