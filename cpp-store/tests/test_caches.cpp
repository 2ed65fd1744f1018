// Caches of objects: what is used last stays, and what nobody holds goes.
#include <functional>
#include <memory>

#include "check.hpp"
#include "lru_cache.hpp"
#include "weak_cache.hpp"

namespace parsl_tl::testing {
namespace {

/// Tells when it goes, wherever that is.
struct Object {
  std::uint64_t number = 0;
  std::function<void()> at_end = [] {};
  ~Object() { at_end(); }
};

std::shared_ptr<Object> make(std::uint64_t number, std::function<void()> at_end = [] {}) {
  return std::make_shared<Object>(number, std::move(at_end));
}

CASE(lru_cache_drops_what_was_used_least_recently) {
  LruCache<Object> cache(2);
  cache.keep(1, make(1));
  cache.keep(2, make(2));
  CHECK(cache.find(1) != nullptr);  // used now, so that 2 goes first
  cache.keep(3, make(3));
  CHECK(cache.find(2) == nullptr);
  CHECK_EQ(cache.find(1)->number, 1U);
  CHECK_EQ(cache.find(3)->number, 3U);

  const auto first = cache.find(1);
  cache.keep(1, make(1));  // another thread was faster
  CHECK(cache.find(1) == first);
  cache.forget(1);
  cache.forget(1);  // not there any more
  CHECK(cache.find(1) == nullptr);
  cache.clear();
  CHECK(cache.find(3) == nullptr);
}

CASE(lru_cache_lists_what_is_wanted) {
  LruCache<Object> cache(2);
  cache.keep(1, make(1));
  cache.keep(2, make(2));
  const auto is_odd = [](const Object& object) { return object.number % 2 == 1; };
  CHECK(cache.ids_if(is_odd) == std::vector<std::uint64_t>{1});
  cache.keep(3, make(3));  // drops 1: listing is no use
  CHECK(cache.ids_if(is_odd) == std::vector<std::uint64_t>{3});
}

CASE(lru_cache_destroys_without_its_lock) {
  LruCache<Object> cache(1);
  int gone = 0;
  const auto ask = [&] {
    // Would wait for itself forever.
    CHECK(cache.find(100) == nullptr);
    ++gone;
  };
  cache.keep(1, make(1, ask));
  cache.keep(2, make(2, ask));
  CHECK_EQ(gone, 1);
  cache.forget(2);
  CHECK_EQ(gone, 2);
  cache.keep(3, make(3, ask));
  cache.clear();
  CHECK_EQ(gone, 3);
}

CASE(weak_cache_gives_what_is_held) {
  WeakCache<Object> cache;
  int made = 0;
  const auto open = [&] { return cache.find_or_make(1, [&] { return make(++made); }); };
  auto held = open();
  CHECK(open() == held);
  CHECK(cache.keep(1, make(7)) == held);  // the first one counts
  held.reset();
  CHECK(cache.find(1) == nullptr);
  CHECK_EQ(open()->number, 2U);

  held = open();
  cache.forget(1);
  CHECK(open() != held);
}

CASE(weak_cache_stays_as_small_as_what_is_held) {
  WeakCache<Object> cache;
  std::vector<std::shared_ptr<Object>> held;
  for (std::uint64_t id = 0; id < 100'000; ++id) {
    const auto object = cache.keep(id, make(id));
    if (id % 20 == 0) held.push_back(object);
  }
  CHECK(cache.size() <= 2 * held.size() + 1);
  for (const auto& object : held) CHECK(cache.find(object->number) == object);
}

}  // namespace
}  // namespace parsl_tl::testing
