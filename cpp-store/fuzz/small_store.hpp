// A store of a few models, the same each time, as it is and as one server of three.
#pragma once

#include <memory>

#include "engine.hpp"
#include "message_mutator.hpp"
#include "sample_models.hpp"

namespace parsl_tl::fuzz {

/// Models 1, 4, 7 and 10; each inherits from the one before, and 7 is retired. All of them belong
/// on the second of three servers, as does what model 2 holds there.
class SmallStore {
 public:
  explicit SmallStore(bool is_one_of_three);

  /// The store as it was made; what was done to it is gone.
  std::shared_ptr<Engine> fresh();

 private:
  testing::Scratch scratch_;
};

const KnownValues& known_values();

}  // namespace parsl_tl::fuzz
