// Which part of a store that is spread over several servers a folder holds.
//
// Model `id` lives in the folder of server `id % count`. A folder may refer to layers that models
// of other servers own; their tensors are there, not here. For every model of another server that
// refers to layers owned here, there is a hold: a record that counts as a holder, so that the
// layers are not freed, and that is no model of this folder otherwise.
#pragma once

#include <cstdint>
#include <string>

namespace parsl_tl {

struct Membership {
  std::uint32_t index = 0;
  std::uint32_t count = 1;

  bool is_home_of(std::uint64_t model_id) const noexcept { return model_id % count == index; }
  std::uint32_t place_of(std::uint64_t model_id) const noexcept {
    return static_cast<std::uint32_t>(model_id % count);
  }
  bool is_alone() const noexcept { return count == 1; }
  std::string text() const {
    return "server " + std::to_string(index + 1) + " of " + std::to_string(count);
  }
  bool operator==(const Membership&) const = default;
};

}  // namespace parsl_tl
