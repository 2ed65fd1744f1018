// The copy of one server of a followed store: its log, as far as it came, and the segments that
// were pulled.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_set>

#include "engine.hpp"
#include "pulled_segments.hpp"
#include "remote_store.hpp"

namespace parsl_tl {

class ServerCopy {
 public:
  /// Opens the copy in a folder; see `make`. `place`: of the server, in its store.
  ServerCopy(const std::string& folder, std::size_t place, PulledSegments& pulled);
  ~ServerCopy() { pulled_.forget(*engine_); }
  ServerCopy(const ServerCopy&) = delete;
  ServerCopy& operator=(const ServerCopy&) = delete;

  /// Makes the folder, with the beginning of the server's log, if it is not there.
  static void make(const std::string& folder, RemoteStore& leader, std::size_t place,
                   const std::string& source);

  Engine& engine() const noexcept { return *engine_; }
  std::size_t place() const noexcept { return place_; }

  /// Takes in the next part of the log; true if there may be more. Should this process die, what
  /// was taken in stays, and the next one goes on behind it. Throws kCorrupt, and takes in nothing,
  /// if what came is damaged.
  bool advance(RemoteStore& leader);
  /// Brings a segment here, verified. Throws kNotFound if the other store does not have it any
  /// more, kCorrupt if it is damaged there or came over damaged.
  void pull(RemoteStore& leader, std::uint64_t owner);
  /// Whether the segment is in the folder, though nobody here pulled it: the copy was promoted, and
  /// whoever serves it writes.
  bool find_segment(std::uint64_t owner);
  /// Removes segments that nobody needs any more: the models were retired.
  void drop_unneeded();
  /// Owners whose segments are not here.
  std::vector<std::uint64_t> missing();

  std::uint64_t models_behind() const noexcept { return models_behind_; }
  std::uint64_t bytes_behind() const noexcept { return bytes_behind_; }
  std::uint64_t bytes_pulled() const noexcept { return bytes_pulled_; }
  std::uint64_t segments_pulled() const noexcept { return segments_pulled_; }

 private:
  void find_segments();
  void drop_others(RemoteStore& leader);
  void read_again(RemoteStore& leader, const LogStateReply& state);
  void download(RemoteStore& leader, std::uint64_t owner);

  const std::size_t place_;
  PulledSegments& pulled_;
  std::unique_ptr<Engine> engine_;
  std::atomic<std::uint64_t> models_behind_ = 0;
  std::atomic<std::uint64_t> bytes_behind_ = 0;
  std::atomic<std::uint64_t> bytes_pulled_ = 0;
  std::atomic<std::uint64_t> segments_pulled_ = 0;
  // Shared by those who pull. A store that goes back to a copy of it uses ids anew: until its new
  // log is known here, nothing that comes over belongs to a model that is known.
  std::shared_mutex going_back_;
  std::mutex mutex_;  // guards the next
  std::unordered_set<std::uint64_t> on_their_way_;
  std::condition_variable arrived_;
};

}  // namespace parsl_tl
