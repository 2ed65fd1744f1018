// The first request of a client: who are you, and are we on the same machine?
//
// It makes no claim who the server is: the reply tells, and the client compares. A server that is
// named as a replica is asked to stand in: it answers in the name of a server that it follows.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct HelloReply {
  std::string version;  // of parsl_tl
  std::string boot_id;  // of the machine: the kernel draws it anew at every start
  std::string folder;
  std::uint64_t folder_device = 0;
  std::uint64_t folder_inode = 0;
  bool checksums = false;  // whether first reads are verified
  std::uint32_t server_index = 0;
  std::uint32_t server_count = 0;
  bool is_empty = false;            // no model was ever stored
  std::uint64_t keeps_ms = 0;       // for how long models stay open for a client that is silent
  std::uint32_t hash_scheme = 0;    // see store_id.hpp, as for the next two
  std::string store;                // who the server is
  std::vector<std::string> stores;  // and all servers of its store, as far as it knows them
  bool stands_in = false;           // it follows the server that it answers for

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
    field("hash_scheme", self.hash_scheme);
    field("store", self.store);
    field("stores", self.stores);
    field("stands_in", self.stands_in);
  }
};

struct HelloRequest {
  static constexpr RequestKind kKind = RequestKind::kHello;
  using Reply = HelloReply;
  std::uint32_t hash_scheme = kHashScheme;
  bool at_replica = false;  // the client has the address as a replica's
  std::string store;        // of the server that is meant; empty for a client that cannot know yet
  std::uint32_t place = 0;  // of that server, among so many
  std::uint32_t count = 0;

  static void fields(auto& self, auto&& field) {
    field("hash_scheme", self.hash_scheme);
    field("at_replica", self.at_replica);
    field("store", self.store);
    field("place", self.place);
    field("count", self.count);
  }
};

}  // namespace parsl_tl
