#include "instance.hpp"

#include <unistd.h>

#include <cstdlib>
#include <map>
#include <thread>
#include <vector>

#include "argobots_thread.hpp"
#include "errors.hpp"
#include "kept_signals.hpp"
#include "peers.hpp"
#include "per_process.hpp"

namespace parsl_tl::mochi {
namespace {

using namespace std::chrono_literals;

// 128 MiB at most, and as much as is in use at once.
constexpr std::size_t kMostBuffers = 64;
// What Margo puts before the bytes of a message.
constexpr std::size_t kMargoHeader = 16;
// How long the end of the process may take for it.
constexpr auto kExitDeadline = 2s;

/// Mercury would fetch what is left of a message that does not fit, however much the sender says it
/// is. No message of ours is that long; see message.hpp.
hg_return_t refuse_more_data(hg_core_handle_t handle, hg_op_t /*operation*/,
                             void (*done)(hg_core_handle_t, hg_return_t)) {
  // As if the attempt had failed: an error given back would leave Mercury waiting for its end.
  done(handle, HG_OPNOTSUPPORTED);
  return HG_SUCCESS;
}

/// Over TCP messages that no buffer waits for stay in the socket: a few buffers do, and libfabric's
/// own number of them takes 50 MB. Networks that drop such messages keep theirs.
void limit_buffers(const std::string& address) {
  if (address.starts_with("ofi+tcp")) ::setenv("FI_OFI_RXM_MSG_RX_SIZE", "64", 0);
}

/// All instances of this process.
class Instances {
 public:
  static Instances& get() { return per_process<Instances>(); }

  void start() {
    owner_ = ::getpid();
    // Before the destructors of the libraries below Mercury, which do not expect that its threads
    // are still at work. A child inherits the wish, and has nothing to end.
    std::atexit([] {
      if (owner_ == ::getpid()) get().end_all();
    });
  }

  std::shared_ptr<Instance> of_clients(const std::string& protocol) {
    const std::lock_guard guard(mutex_);
    auto& found = clients_[protocol];
    if (!found) found = Instance::start(protocol, Role::kClient);
    return found;
  }

  void add(const std::shared_ptr<Instance>& instance) {
    const std::lock_guard guard(alive_mutex_);
    std::erase_if(alive_, [](const auto& other) { return other.expired(); });
    alive_.push_back(instance);
  }

 private:
  void end_all() {
    std::vector<std::shared_ptr<Instance>> alive;
    {
      const std::lock_guard guard(alive_mutex_);
      for (const auto& weak : alive_) {
        if (auto instance = weak.lock()) alive.push_back(std::move(instance));
      }
    }
    for (const auto& instance : alive) instance->begin_to_end();
    const TimePoint deadline = Clock::now() + kExitDeadline;
    for (const auto& instance : alive) {
      while (instance->is_used() && Clock::now() < deadline) std::this_thread::sleep_for(1ms);
      // One that is still in use is left as it is: waiting longer would be worse.
      if (!instance->is_used()) ArgobotsThread::get().post([instance] { instance->end(); });
    }
    // Behind these, and behind the end of those that nobody held any more.
    const auto all_ended = std::make_shared<Completion>();
    ArgobotsThread::get().post([all_ended] { all_ended->set(HG_SUCCESS); });
    all_ended->wait_until(deadline);
  }

  static inline std::atomic<::pid_t> owner_ = 0;  // the last process that made one
  std::mutex mutex_;                              // guards clients_
  std::map<std::string, std::shared_ptr<Instance>> clients_;
  std::mutex alive_mutex_;  // guards alive_
  std::vector<std::weak_ptr<Instance>> alive_;
};

}  // namespace

std::string protocol_of(const std::string& address) {
  const std::size_t end = address.find("://");
  if (end != std::string::npos && end > 0) return address.substr(0, end);
  throw StoreException(ErrorCode::kInvalidValue,
                       "not an address of Mercury: '" + address +
                           "'; write, for instance, ofi+tcp://127.0.0.1:7000 or na+sm://");
}

std::shared_ptr<Instance> Instance::start(const std::string& address, Role role) {
  Instances& all = Instances::get();
  Instance* made = nullptr;
  ArgobotsThread::get().run([&] { made = new Instance(address, role); });
  // The last user may be any thread, even the engine's own, which cannot end itself. A child that
  // inherited it leaves it alone.
  const auto end_on_argobots_thread = [process = ::getpid()](Instance* instance) {
    if (process != ::getpid()) return;
    ArgobotsThread::get().post([instance] {
      instance->end();
      delete instance;
    });
  };
  std::shared_ptr<Instance> instance(made, end_on_argobots_thread);
  all.add(instance);
  return instance;
}

std::shared_ptr<Instance> Instance::of_clients(const std::string& protocol) {
  return Instances::get().of_clients(protocol);
}

Instance::Instance(const std::string& address, Role role) {
  margo_init_info options = {};
  // Handlers run on threads of our own; the engine's only thread carries requests to them. Handles
  // that Margo keeps for the next call would keep their peer's address, and with it a connection
  // that was cut.
  options.json_config = R"({"use_progress_thread": true, "rpc_thread_count": -1,
                            "progress_spindown_msec": 0, "handle_cache_size": 0})";
  options.logger = wanted_logger();
  limit_buffers(address);
  const int mode = role == Role::kServer ? MARGO_SERVER_MODE : MARGO_CLIENT_MODE;
  const KeptSignals signals;
  try {
    engine_ = thallium::engine(address, mode, &options);
  } catch (const std::exception&) {
    throw StoreException(ErrorCode::kIo,
                         "Mercury cannot start with '" + address + "'" +
                             (role == Role::kServer ? "; is the port in use, or the address of "
                                                      "another machine?"
                                                    : "; hg_info lists the protocols that it has"));
  }
  margo_ = engine_.get_margo_instance();
  HG_Core_set_more_data_callback(margo_get_class(margo_)->core_class, refuse_more_data, nullptr);
  to_read_ = std::make_unique<MemoryFormat>(margo_, HG_BULK_READ_ONLY);
  to_write_ = std::make_unique<MemoryFormat>(margo_, HG_BULK_WRITE_ONLY);
  // Buffers serve for both, and a description has no more in it than the other formats'.
  buffers_ = std::make_shared<BufferPool>(margo_, *to_read_, kMostBuffers);
  peers_ = std::make_unique<Peers>();
  most_in_message_ = std::min(HG_Class_get_input_eager_size(margo_get_class(margo_)),
                              HG_Class_get_output_eager_size(margo_get_class(margo_))) -
                     kMargoHeader;
}

Instance::~Instance() = default;

std::shared_ptr<Instance> Instance::use() {
  struct Use {
    std::shared_ptr<Instance> instance;
    explicit Use(std::shared_ptr<Instance> used) : instance(std::move(used)) { ++instance->uses_; }
    ~Use() { --instance->uses_; }
  };
  const auto used = std::make_shared<Use>(shared_from_this());
  if (!is_ending_) return {used, this};
  throw StoreException(ErrorCode::kClosed, "the process is ending");
}

void Instance::end() {
  peers_->clear();
  if (has_ended_.exchange(true)) return;
  buffers_->clear();
  const KeptSignals signals;  // the library puts back those that it found
  engine_.finalize_and_wait();
  engine_ = thallium::engine();
  end_->set(HG_SUCCESS);
}

}  // namespace parsl_tl::mochi
