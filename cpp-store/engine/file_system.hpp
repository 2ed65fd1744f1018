// Which file systems a store cannot lie on: locks and mappings must hold for all who use it.
#pragma once

#include <cstdint>
#include <string>

namespace parsl_tl {

/// The name of the network file system that statfs tells of by this number, or nullptr for others.
const char* network_file_system(std::uint32_t magic);

/// The name of the network file system that holds the path, or nullptr.
const char* network_file_system_at(const std::string& path);

}  // namespace parsl_tl
