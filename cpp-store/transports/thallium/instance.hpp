// An engine of Thallium at work, and what this transport keeps for it.
#pragma once

#include <margo.h>

#include <atomic>
#include <memory>
#include <string>
#include <thallium.hpp>

#include "buffers.hpp"
#include "completion.hpp"
#include "memory_format.hpp"

namespace parsl_tl::mochi {

class Peers;

enum class Role { kClient, kServer };

/// The scheme of an address: "ofi+tcp" of "ofi+tcp://127.0.0.1:7000". Throws kInvalidValue if it
/// has none.
std::string protocol_of(const std::string& address);

/// A progress thread, a Mercury context, and registered buffers. Whoever uses it holds a shared
/// pointer; the last one ends the engine, on the thread that started it.
class Instance : public std::enable_shared_from_this<Instance> {
 public:
  /// For a server an address, for a client a protocol. Throws kIo if Mercury does not start.
  static std::shared_ptr<Instance> start(const std::string& address, Role role);
  /// The one that all clients of this process share, by protocol. It stays until the process ends:
  /// starting one takes longer than a thousand calls.
  static std::shared_ptr<Instance> of_clients(const std::string& protocol);

  Instance(const std::string& address, Role role);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  thallium::engine& engine() { return engine_; }
  margo_instance_id margo() const { return margo_; }
  /// How clients describe memory that is read, and memory that is written.
  const MemoryFormat& to_read() const { return *to_read_; }
  const MemoryFormat& to_write() const { return *to_write_; }
  BufferPool& buffers() { return *buffers_; }
  /// The longest message there is, with Mercury's header; see message.hpp.
  std::size_t most_in_message() const { return most_in_message_; }

  Peers& peers() { return *peers_; }
  /// To be held by whoever registers an RPC.
  std::mutex& registration() { return registration_; }

  /// While it lives, the engine does not end. Throws kClosed once the process is ending.
  std::shared_ptr<Instance> use();
  bool is_ending() const { return is_ending_; }
  bool has_ended() const { return has_ended_; }
  /// Set when the engine has ended.
  const std::shared_ptr<Completion>& end_of_engine() const { return end_; }

  /// The process ends: no new use, and those that wait for something give up. The engine ends once
  /// nobody uses it.
  void begin_to_end() { is_ending_ = true; }
  bool is_used() const { return uses_ > 0; }
  /// On Argobots' thread.
  void end();

 private:
  thallium::engine engine_;
  margo_instance_id margo_ = MARGO_INSTANCE_NULL;
  std::size_t most_in_message_ = 0;
  std::unique_ptr<MemoryFormat> to_read_;
  std::unique_ptr<MemoryFormat> to_write_;
  std::shared_ptr<BufferPool> buffers_;
  std::shared_ptr<Completion> end_ = std::make_shared<Completion>();
  std::unique_ptr<Peers> peers_;
  std::mutex registration_;
  std::atomic<int> uses_ = 0;
  std::atomic<bool> is_ending_ = false;
  std::atomic<bool> has_ended_ = false;
};

}  // namespace parsl_tl::mochi
