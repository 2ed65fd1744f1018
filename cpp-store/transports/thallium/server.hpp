// The server's side: takes requests off the engine's thread, has workers handle them, answers.
#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "exchange.hpp"
#include "held_replies.hpp"
#include "instance.hpp"
#include "message.hpp"
#include "regions_in_use.hpp"
#include "responder.hpp"
#include "transport.hpp"
#include "workers.hpp"

namespace parsl_tl::mochi {

class Server : public std::enable_shared_from_this<Server> {
 public:
  Server(const ListenOptions& options, std::shared_ptr<Handler> handler);

  /// Takes requests from now on.
  void open();
  std::string address() const { return address_; }
  void stop(std::chrono::milliseconds deadline);

  /// On the engine's thread, which must not wait for anything.
  void receive(Handle handle);

 private:
  struct Request;

  std::shared_ptr<Instance> instance();
  void refuse(Request& request);
  void close_region(Request& request);
  void work(Request& request);
  std::string handle(Request& request, const Bounds& bounds, ThalliumExchange& exchange);
  void answer(Request& request, Answer::Header header, Bytes download, std::string reply);
  static TimePoint deadline_of(const Arguments& arguments);

  const ::pid_t process_ = ::getpid();
  const ListenOptions options_;
  const std::shared_ptr<Handler> handler_;
  const std::shared_ptr<Workers> workers_;
  const std::shared_ptr<Responder> responder_ = std::make_shared<Responder>();
  std::mutex instance_mutex_;           // guards instance_
  std::shared_ptr<Instance> instance_;  // null once it was stopped
  std::string address_;
  RegionsInUse regions_;
  HeldReplies held_replies_;
  std::atomic<bool> is_stopping_ = false;
  std::mutex stop_mutex_;  // held by the one that stops it
};

}  // namespace parsl_tl::mochi
