#include "tools/base/command.h"

namespace kinema::tools {

extern const Command visualize_command;
const Command visualize_command = {"visualize", "pictures of what a network has learned", nullptr,
                                   visuals};

}  // namespace kinema::tools
