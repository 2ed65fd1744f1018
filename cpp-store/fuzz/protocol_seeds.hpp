// Seeds of the targets for requests and replies.
#pragma once

#include <functional>
#include <string>

#include "wrap.hpp"

namespace parsl_tl::fuzz {

using AddSeed =
    std::function<void(const std::string& target, const std::string& name, const Bytes& bytes)>;

void add_request_seeds(const AddSeed& add);
void add_reply_seeds(const AddSeed& add);

}  // namespace parsl_tl::fuzz
