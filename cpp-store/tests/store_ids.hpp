// Identities of servers that are not there, for tests of one that is part of a store.
#pragma once

#include "engine.hpp"

namespace parsl_tl::testing {

inline StoreId made_up_store(std::uint32_t number) {
  StoreId id;
  id.bytes[0] = 0xAA;
  id.bytes[15] = static_cast<std::uint8_t>(number + 1);
  return id;
}

/// The engine's own identity in its place among made-up ones.
inline StoreIds stores_around(const Engine& engine, const Membership& place) {
  StoreIds stores;
  for (std::uint32_t i = 0; i < place.count; ++i) {
    stores.push_back(i == place.index ? engine.store() : made_up_store(i));
  }
  return stores;
}

inline void join_as(Engine& engine, const Membership& place) {
  engine.join(stores_around(engine, place), place.index);
}

}  // namespace parsl_tl::testing
