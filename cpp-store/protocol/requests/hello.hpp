// The first request of a client: who are you, and are we on the same machine?
//
// An empty server becomes what a client that writes says in the header that it is.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct HelloReply {
  std::string version;              // of parsl_tl
  std::string boot_id;              // of the machine: the kernel draws it anew at every start
  std::string folder;
  std::uint64_t folder_device = 0;
  std::uint64_t folder_inode = 0;
  bool checksums = false;           // whether first reads are verified
  std::uint32_t server_index = 0;
  std::uint32_t server_count = 0;
  bool is_empty = false;            // no model was ever stored
  std::uint64_t keeps_ms = 0;       // for how long models stay open for a client that is silent

  static void fields(auto& self, auto&& field) {
    field("version", self.version);
    field("boot_id", self.boot_id);
    field("folder", self.folder);
    field("folder_device", self.folder_device);
    field("folder_inode", self.folder_inode);
    field("checksums", self.checksums);
    field("server_index", self.server_index);
    field("server_count", self.server_count);
    field("is_empty", self.is_empty);
    field("keeps_ms", self.keeps_ms);
  }
};

struct HelloRequest {
  static constexpr RequestKind kKind = RequestKind::kHello;
  using Reply = HelloReply;

  static void fields(auto&, auto&&) {}
};

}  // namespace parsl_tl
