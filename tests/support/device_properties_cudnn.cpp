#include <algorithm>
#include "kernels/cudnn/descriptor.h"
#include "tests/support/device_properties.h"

namespace kinema::test {

std::string gpu_properties() {
  using kernels::cudnn::Descriptor;
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, int32_t(0)).finalize();
  const std::vector<char> text =
      properties.get<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, 1 << 16);
  return {text.begin(), std::find(text.begin(), text.end(), '\0')};
}

}  // namespace kinema::test
