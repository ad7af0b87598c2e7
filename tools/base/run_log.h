#pragma once
#include <memory>
#include <string>
#include "engine/report/run_log.h"

namespace kinema::tools {

/// The record of a run that this process does, `epochs` in all; warnings go to standard error.
std::unique_ptr<engine::report::RunLog> record_of(const engine::report::RunLog::Run& run,
                                                  int64_t epochs);

/// The arguments of this process as a shell would take them.
std::string command_text();

/// "AMD EPYC 9B14, 2 cores, 8 GB, Linux 6.1.0".
std::string machine_text();

}  // namespace kinema::tools
