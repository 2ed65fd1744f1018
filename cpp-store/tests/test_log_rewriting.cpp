// A process that dies while its log is written anew loses nothing that it has acknowledged,
// whichever step of it was the last.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "check.hpp"
#include "death_by_step.hpp"
#include "engine.hpp"
#include "layer_name.hpp"
#include "random.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kShared = 7;         // the layer that all hold, of the first model
constexpr std::size_t kTextBytes = 1 << 20;  // makes logs long
constexpr std::uint64_t kLongLog = 17 << 20;
constexpr std::uint64_t kShortLog = 8 << 20;
#ifdef __SANITIZE_ADDRESS__
constexpr int kStride = 5;  // each step takes several times as long
#else
constexpr int kStride = 1;
#endif
constexpr std::uint64_t kLeft = 2;  // models that live on in the long log

Bytes tensor_of(std::uint64_t owner, std::uint64_t key) {
  return Random(owner * 1000 + key).bytes(256);
}

std::string text_of(std::uint64_t id) {
  const Bytes bytes = Random(id).bytes(kTextBytes / 2);
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += static_cast<char>('a' + byte % 16);
    text += static_cast<char>('a' + byte / 16);
  }
  return text;
}

/// A model of two layers: one that it owns, and one of the first model.
void put(Engine& engine, std::uint64_t id) {
  PutRequest request;
  request.model_id = id;
  request.quality = static_cast<double>(id);
  request.layer_keys = {kShared, 1000 + id};
  for (const std::uint64_t key : request.layer_keys) {
    request.layer_names.push_back(format_layer_name("Dense", key));
  }
  request.edges = {0, 1};
  request.architecture = text_of(id);
  if (id > 1) request.inherited = std::vector<InheritedLayer>{{.layer = 0, .owner = 1}};
  const Bytes shared = tensor_of(1, kShared);
  const Bytes own = tensor_of(id, 1000 + id);
  if (id == 1) request.tensors.push_back({0, "uint8", {256}, shared});
  request.tensors.push_back({1, "uint8", {256}, own});
  engine.put(request);
}

std::uint64_t log_bytes(const std::string& folder) { return fs::file_size(folder + "/log"); }

/// A store whose log is due, and has not been written anew: whoever writes next begins with that.
/// Gives the ids of the models that live.
std::set<std::uint64_t> make_long_log(const std::string& folder) {
  Engine engine(folder, {});
  const FileLock nobody_rewrites(folder + "/snapshot.lock", true);
  std::uint64_t id = 0;
  while (log_bytes(folder) < kLongLog) put(engine, ++id);
  for (std::uint64_t old = 1; old + kLeft <= id; ++old) engine.retire(old);
  engine.close();
  CHECK(log_bytes(folder) > kLongLog);
  return {id - 1, id};
}

void check_model(Engine& engine, std::uint64_t id) {
  CHECK(engine.architecture(id) == text_of(id));
  const auto pinned = engine.pin(id);
  CHECK_EQ(pinned->layers.size(), 2U);
  for (const auto& layer : pinned->layers) {
    const std::uint64_t owner = layer.key == kShared ? 1 : id;
    CHECK_EQ(layer.owner, owner);
    CHECK_EQ(engine.reference_count(owner, layer.key), owner == 1 ? engine.num_models() : 1U);
    const auto bytes = layer.segment->tensor(layer.tensors.first, layer.name);
    const Bytes expected = tensor_of(owner, layer.key);
    CHECK(std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end()));
  }
}

/// Says what was acknowledged, across the death of who says it.
class Acknowledged {
 public:
  Acknowledged() {
    if (::pipe(ends_.data()) != 0) throw std::runtime_error("no pipe");
  }
  ~Acknowledged() {
    ::close(ends_[0]);
    if (ends_[1] >= 0) ::close(ends_[1]);
  }
  void say(std::uint8_t what) const {
    if (::write(ends_[1], &what, 1) != 1) ::_exit(124);
  }
  /// All that was said. Nobody can say any more.
  std::set<std::uint8_t> all() {
    ::close(std::exchange(ends_[1], -1));
    std::set<std::uint8_t> said;
    for (std::uint8_t what = 0; ::read(ends_[0], &what, 1) == 1;) said.insert(what);
    return said;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

constexpr std::uint8_t kPutBefore = 101;
constexpr std::uint8_t kRetired = 1;
constexpr std::uint8_t kPutAfter = 102;

/// Writes on in a store whose log is due, until it was written anew and a little longer.
void write_while_log_is_rewritten(const std::string& folder, std::uint64_t to_retire,
                                  const Acknowledged& acknowledged) {
  Engine engine(folder, {});
  begin_steps();
  put(engine, kPutBefore);
  acknowledged.say(kPutBefore);
  engine.retire(to_retire);
  acknowledged.say(kRetired);
  while (log_bytes(folder) > kShortLog) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  put(engine, kPutAfter);
  acknowledged.say(kPutAfter);
  engine.close();
}

/// What was acknowledged is done; what was begun, and not acknowledged, may be done or not.
void check_store(const std::string& folder, const std::set<std::uint64_t>& before,
                 std::uint64_t to_retire, const std::set<std::uint8_t>& said) {
  Engine engine(folder, {});
  std::set<std::uint64_t> possible = before;
  possible.insert({kPutBefore, kPutAfter});
  std::set<std::uint64_t> certain = before;
  certain.erase(to_retire);
  for (const std::uint8_t id : {kPutBefore, kPutAfter}) {
    if (said.contains(id)) certain.insert(id);
  }
  for (const std::uint64_t id : certain) CHECK(engine.contains(id));
  if (said.contains(kRetired)) CHECK(!engine.contains(to_retire));
  std::size_t found = 0;
  for (const std::uint64_t id : possible) {
    if (!engine.contains(id)) continue;
    ++found;
    check_model(engine, id);
  }
  CHECK_EQ(engine.num_models(), found);
  CHECK(engine.was_used(1));
  for (const std::string& problem : engine.verify().problems) CHECK_EQ(problem, "");
  {
    // Whoever opens it may begin to write the log anew himself.
    const FileLock nobody_rewrites(folder + "/snapshot.lock", true);
    CHECK(fs::is_empty(folder + "/tmp"));
  }
  // It goes on being usable.
  put(engine, 200);
  engine.retire(200);
}

CASE(log_rewriting_dies_at_every_step) {
  const Scratch scratch;
  const std::string long_log = scratch / "long";
  const std::set<std::uint64_t> living = make_long_log(long_log);
  const std::uint64_t to_retire = *living.begin();
  int deaths_at_work = 0;
  for (int step = 1;; step += kStride) {
    const std::string folder = scratch / std::to_string(step);
    fs::copy(long_log, folder, fs::copy_options::recursive);
    Acknowledged acknowledged;
    const Death death = die_before_step(
        step, [&] { write_while_log_is_rewritten(folder, to_retire, acknowledged); });
    const auto said = acknowledged.all();
    if (death.came) CHECK(WIFSIGNALED(death.status) && WTERMSIG(death.status) == SIGKILL);
    if (!fs::is_empty(folder + "/tmp")) ++deaths_at_work;
    check_store(folder, living, to_retire, said);
    fs::remove_all(folder);
    if (death.came) continue;
    CHECK(WIFEXITED(death.status) && WEXITSTATUS(death.status) == 0);
    CHECK_EQ(said.size(), 3U);
    break;
  }
  CHECK(deaths_at_work > 5 / kStride);
}

}  // namespace
}  // namespace parsl_tl::testing
