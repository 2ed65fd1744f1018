// The table of models, in pages.
#pragma once

#include "frame.hpp"

namespace parsl_tl {

struct ListModelsReply {
  std::string table;       // Arrow IPC stream
  std::uint64_t rows = 0;  // of the whole table

  static void fields(auto& self, auto&& field) {
    field("table", self.table);
    field("rows", self.rows);
  }
};

struct ListModelsRequest {
  static constexpr RequestKind kKind = RequestKind::kListModels;
  static constexpr bool kMayStandIn = true;
  using Reply = ListModelsReply;
  std::uint64_t first = 0;  // row; 0 begins anew

  static void fields(auto& self, auto&& field) { field("first", self.first); }
};

}  // namespace parsl_tl
