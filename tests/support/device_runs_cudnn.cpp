// A GPU that is none, for tests of what reaches cuDNN: memory is the host's, our own kernels are
// those of the CPU. cuDNN itself plans, for an H200 by its description; what its descriptors are
// told is noted, and where it would run a plan, plain loops do what the graph says, in double.
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include "kernels/copy/copy.h"
#include "kernels/cudnn/descriptor.h"
#include "kernels/cudnn/nvidia_libraries.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/reduce/reduce.h"
#include "tests/support/device_check.h"

namespace kinema::kernels {

const Copy copy_cuda = copy_cpu;
const Pointwise pointwise_cuda = pointwise_cpu;
const Reduce reduce_cuda = reduce_cpu;

/// Exactly as large as is asked for, full of NaN, so that sanitizers and results tell.
static void* fresh_memory(int64_t bytes) {
  return std::memset(::operator new(size_t(bytes)), 0xff, size_t(bytes));
}
const Runtime runtime_cuda = [] {
  Runtime r{};
  r.allocate = fresh_memory;
  r.release = [](void* memory) { ::operator delete(memory); };
  r.take_workspace = [](Stream, int64_t bytes) { return fresh_memory(bytes); };
  r.give_workspace = [](Stream, void* memory, int64_t) { ::operator delete(memory); };
  r.upload = [](Stream, const void* from, void* to, int64_t n) {
    std::memcpy(to, from, size_t(n));
  };
  r.download = r.upload;
  r.clear = [](Stream, void* memory, int64_t bytes) { std::memset(memory, 0, size_t(bytes)); };
  r.synchronize = [](Stream) {};
  return r;
}();

}  // namespace kinema::kernels

namespace kinema::test {

namespace {

using namespace kernels::cudnn;

/// What a descriptor was told.
struct Node {
  cudnnBackendDescriptorType_t type{};
  std::map<int, std::vector<char>> values = {};
  std::map<int, std::vector<std::shared_ptr<Node>>> children = {};

  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    const std::vector<char>& bytes = values.at(name);
    std::vector<T> result(bytes.size() / sizeof(T));
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }
  const Node& child(cudnnBackendAttributeName_t name) const { return *children.at(name).front(); }
};

std::map<cudnnBackendDescriptor_t, std::shared_ptr<Node>> nodes;
Cudnn real;

cudnnStatus_t create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* d) {
  const cudnnStatus_t status = real.cudnnBackendCreateDescriptor(type, d);
  nodes[*d] = std::make_shared<Node>(Node{.type = type});
  return status;
}

/// The H200, which takes the place of the GPU that a handle would stand for.
cudnnBackendDescriptor_t properties = nullptr;

cudnnStatus_t set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t count, const void* elements) {
  const auto* bytes = static_cast<const char*>(elements);
  Node& node = *nodes.at(d);
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const auto* all = static_cast<const cudnnBackendDescriptor_t*>(elements);
    for (int64_t i = 0; i < count; ++i) node.children[name].push_back(nodes.at(all[i]));
  } else {
    const int64_t size = type == CUDNN_TYPE_INT64 || type == CUDNN_TYPE_VOID_PTR ? 8
                         : type == CUDNN_TYPE_BOOLEAN || type == CUDNN_TYPE_CHAR ? 1
                                                                                 : 4;
    node.values[name].assign(bytes, bytes + count * size);
  }
  const auto set_here = [&](cudnnBackendAttributeName_t its) {
    return real.cudnnBackendSetAttribute(d, its, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &properties);
  };
  if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE) return CUDNN_STATUS_SUCCESS;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
    return set_here(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  if (name == CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH) set_here(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  return real.cudnnBackendSetAttribute(d, name, type, count, elements);
}

cudnnStatus_t get(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t most, int64_t* count, void* elements) {
  const cudnnStatus_t status = real.cudnnBackendGetAttribute(d, name, type, most, count, elements);
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && elements)  // each is of the heuristic's graph
    for (int64_t i = 0; i < *count; ++i)
      nodes.at(static_cast<cudnnBackendDescriptor_t*>(elements)[i])->children[name] =
          nodes.at(d)->children.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  return status;
}

using Five = std::array<int64_t, 5>;

/// The elements of a tensor in cuDNN's order of axes, whatever its strides.
struct Values {
  Five size{};
  std::vector<double> at = {};
  int64_t index(const Five& i) const {
    int64_t flat = 0;
    for (size_t a = 0; a < 5; ++a) flat = flat * size[a] + i[a];
    return flat;
  }
};

class Tensor {
 public:
  Tensor(const Node& node, const std::map<int64_t, void*>& memory)
      : stride_(node.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES)),
        type_(node.all<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE).front()),
        id_(node.all<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID).front()),
        virtual_(node.values.contains(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) {
    const auto size = node.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
    std::copy(size.begin(), size.end(), size_.begin());
    if (virtual_) return;
    data_ = memory.at(id_);
    const int64_t alignment = node.all<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT).front();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data_) % uintptr_t(alignment), 0u) << "tensor " << id_;
  }
  int64_t id() const { return id_; }
  bool lies_nowhere() const { return virtual_; }
  const Five& size() const { return size_; }
  Values load() const {
    Values v{.size = size_};
    each([&](auto& element) { v.at.push_back(double(element)); });
    return v;
  }
  void store(const Values& v) const {
    size_t next = 0;
    each([&]<class T>(T& element) { element = T(v.at[next++]); });
  }

 private:
  template <class F>
  void each(const F& f) const {
    if (type_ == CUDNN_DATA_FLOAT) return each_of(static_cast<float*>(data_), f);
    if (type_ == CUDNN_DATA_HALF) return each_of(static_cast<kernels::f16*>(data_), f);
    each_of(static_cast<kernels::bf16*>(data_), f);
  }
  template <class T, class F>
  void each_of(T* data, const F& f) const {
    int64_t elements = 1;
    for (int64_t s : size_) elements *= s;
    for (int64_t flat = 0; flat < elements; ++flat) {
      int64_t rest = flat, offset = 0;
      for (size_t a = 5; a-- > 0; rest /= size_[a]) offset += rest % size_[a] * stride_[a];
      f(data[offset]);
    }
  }
  Five size_{};
  std::vector<int64_t> stride_;
  cudnnDataType_t type_;
  int64_t id_;
  bool virtual_;
  void* data_ = nullptr;
};

/// f(element of x, of w, of y) for each product of a convolution, whose tensors have sizes x, w, y.
template <class F>
void each_product(const Node& geometry, const Five& x, const Five& w, const Five& y, const F& f) {
  const auto stride = geometry.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
             dilation = geometry.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS),
             front = geometry.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const int64_t of_group = w[0] * w[1] / x[1];  // filters
  const Values xs{.size = x}, ws{.size = w}, ys{.size = y};
  const int64_t pixels = y[0] * y[2] * y[3] * y[4], taps = w[2] * w[3] * w[4];
  for (int64_t i = 0; i < pixels * taps; ++i) {
    Five in{}, filter{}, out{};
    int64_t pixel = i / taps, tap = i % taps;
    bool inside = true;
    for (size_t a = 5; a-- > 2; pixel /= y[a], tap /= w[a]) {
      out[a] = pixel % y[a];
      filter[a] = tap % w[a];
      in[a] = out[a] * stride[a - 2] - front[a - 2] + filter[a] * dilation[a - 2];
      inside &= in[a] >= 0 && in[a] < x[a];
    }
    in[0] = out[0] = pixel;
    for (int64_t j = 0; inside && j < w[0] * w[1]; ++j) {
      filter[0] = out[1] = j / w[1];
      filter[1] = j % w[1];
      in[1] = filter[0] / of_group * w[1] + filter[1];
      f(size_t(xs.index(in)), size_t(ws.index(filter)), size_t(ys.index(out)));
    }
  }
}

/// What an operation of a convolution calls its geometry, x, w, y and beta.
struct Names {
  cudnnBackendAttributeName_t geometry, x, w, y, beta;
};
Names names_of(cudnnBackendDescriptorType_t type) {
  if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

/// Tensors of a graph as it runs: those that lie nowhere are here.
class Memory {
 public:
  explicit Memory(const Node& pack) {
    const auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto pointers = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    for (size_t i = 0; i < ids.size(); ++i) pointers_[ids[i]] = pointers[i];
  }
  Tensor tensor(const Node& node) const { return {node, pointers_}; }
  Values load(const Node& node) const {
    const Tensor t = tensor(node);
    return t.lies_nowhere() ? between_.at(t.id()) : t.load();
  }
  void store(const Node& node, const Values& v) {
    const Tensor t = tensor(node);
    t.lies_nowhere() ? void(between_[t.id()] = v) : t.store(v);
  }

 private:
  std::map<int64_t, void*> pointers_;
  std::map<int64_t, Values> between_;
};

void convolve(const Node& operation, Memory& memory) {
  const Names n = names_of(operation.type);
  const Node &geometry = operation.child(n.geometry), &x = operation.child(n.x),
             &w = operation.child(n.w), &y = operation.child(n.y);
  const Five sizes[] = {memory.tensor(x).size(), memory.tensor(w).size(), memory.tensor(y).size()};
  const auto products = [&](const auto& f) {
    each_product(geometry, sizes[0], sizes[1], sizes[2], f);
  };
  const auto result_of = [&](const Node& node) {
    if (operation.all<float>(n.beta).front() != 0) return memory.load(node);
    Values zero{.size = memory.tensor(node).size(), .at = {}};
    int64_t elements = 1;
    for (int64_t s : zero.size) elements *= s;
    zero.at.assign(size_t(elements), 0);
    return zero;
  };
  if (operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
    const Values a = memory.load(x), b = memory.load(w);
    Values to = result_of(y);
    products([&](size_t i, size_t j, size_t k) { to.at[k] += a.at[i] * b.at[j]; });
    return memory.store(y, to);
  }
  if (operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) {
    const Values a = memory.load(w), b = memory.load(y);
    Values to = result_of(x);
    products([&](size_t i, size_t j, size_t k) { to.at[i] += a.at[j] * b.at[k]; });
    return memory.store(x, to);
  }
  const Values a = memory.load(x), b = memory.load(y);
  Values to = result_of(w);
  products([&](size_t i, size_t j, size_t k) { to.at[j] += a.at[i] * b.at[k]; });
  memory.store(w, to);
}

/// A sum with a value a channel, or a ReLU.
void apply_pointwise(const Node& operation, Memory& memory) {
  const auto mode = operation.child(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)
                        .all<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE)
                        .front();
  Values v = memory.load(operation.child(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
  if (mode == CUDNN_POINTWISE_ADD) {
    const Values b = memory.load(operation.child(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
    const size_t pixels = v.at.size() / size_t(v.size[0] * v.size[1]);
    for (size_t i = 0; i < v.at.size(); ++i) v.at[i] += b.at[i / pixels % b.at.size()];
  } else {
    EXPECT_EQ(mode, CUDNN_POINTWISE_RELU_FWD);
    for (double& value : v.at) value = std::max(value, 0.0);
  }
  memory.store(operation.child(CUDNN_ATTR_OPERATION_POINTWISE_YDESC), v);
}

cudnnStatus_t execute(cudnnHandle_t, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  const Node& graph = nodes.at(plan)
                          ->child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
                          .child(CUDNN_ATTR_ENGINEHEUR_RESULTS);
  Memory memory(*nodes.at(pack));
  for (const auto& operation : graph.children.at(CUDNN_ATTR_OPERATIONGRAPH_OPS))
    operation->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR
        ? apply_pointwise(*operation, memory)
        : convolve(*operation, memory);
  return CUDNN_STATUS_SUCCESS;
}

/// cuDNN with the functions above, and a handle that stands for no GPU.
void install() {
  real = library();
  std::ifstream file("bench/h200_device.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  static Descriptor described(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  described.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(text)).finalize();
  properties = described.value();
  Cudnn with = real;
  with.cudnnBackendCreateDescriptor = create;
  with.cudnnBackendSetAttribute = set;
  with.cudnnBackendGetAttribute = get;
  with.cudnnBackendExecute = execute;
  with.cudnnCreate = [](cudnnHandle_t* handle) {
    *handle = reinterpret_cast<cudnnHandle_t>(&real);
    return CUDNN_STATUS_SUCCESS;
  };
  with.cudnnDestroy = [](cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; };
  with.cudnnSetStream = [](cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; };
  replace_library(with);
}

}  // namespace

const std::vector<DeviceRun>& device_runs() {
  static const std::vector<DeviceRun> one = [] {
    if (kernels::nvidia_libraries().front().missing.empty()) install();
    return std::vector<DeviceRun>{{.name = "plain loops behind cuDNN's plans",
                                   .backend = Backend::cuda,
                                   .runtime = &kernels::runtime_cuda,
                                   .group = "loops",
                                   .enter = [] { return nullptr; }}};
  }();
  return one;
}

std::vector<DeviceRun> random_runs(int) { return {}; }

bool small() { return true; }

std::optional<Traffic> traffic(const std::function<void()>&) { return std::nullopt; }

int64_t bank_conflicts(const std::function<void()>& work) {
  work();
  return 0;
}

}  // namespace kinema::test
