// Which process this is, and whether another one of this machine lives.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>

namespace parsl_tl {

/// The machine, as long as it runs, and the space of its process numbers: containers have their
/// own. Empty if the system does not tell.
const std::string& process_space();

/// When a process of this space was started, in ticks since the machine was; nothing if it is gone.
/// 0 if it lives, and the system does not tell more.
std::optional<std::uint64_t> start_of(std::uint64_t process);

}  // namespace parsl_tl
