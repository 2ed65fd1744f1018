#include "cluster.hpp"

#include <filesystem>

#include "check.hpp"

namespace parsl_tl::testing {

ConnectionOptions quick_options() {
  ConnectionOptions options;
  options.retry_for = std::chrono::seconds(20);
  options.pause = std::chrono::milliseconds(1);
  options.rest = std::chrono::milliseconds(0);
  return options;
}

Cluster::Cluster(const std::string& folder, std::uint32_t count, ServerOptions options,
                 std::uint64_t seed)
    : folder_(folder),
      options_(std::move(options)),
      failures_(std::make_shared<Failures>(seed)),
      engines_(count),
      servers_(count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    loopbacks_.push_back(std::make_shared<Loopback>(nullptr, failures_, seed + i));
    start(i);
  }
}

std::string Cluster::folder_of(std::size_t i) const {
  return folder_ + "/server" + std::to_string(i);
}

std::vector<std::shared_ptr<Channel>> Cluster::channels() const {
  return {loopbacks_.begin(), loopbacks_.end()};
}

std::vector<std::string> Cluster::addresses(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back("loopback" + std::to_string(i));
  return names;
}

std::unique_ptr<RemoteStore> Cluster::connect(const ConnectionOptions& options) {
  return std::make_unique<RemoteStore>(channels(), addresses(size()), options);
}

void Cluster::stop(std::size_t i) {
  loopbacks_[i]->set_handler(nullptr);
  servers_[i].reset();
  engines_[i].reset();
}

void Cluster::start(std::size_t i) {
  engines_[i] = std::make_shared<Engine>(folder_of(i), EngineOptions{});
  servers_[i] = std::make_shared<Server>(engines_[i], options_);
  loopbacks_[i]->set_handler(servers_[i]);
}

void Cluster::restart(std::size_t i) {
  stop(i);
  start(i);
}

void Cluster::restart_empty(std::size_t i) {
  stop(i);
  std::filesystem::remove_all(folder_of(i));
  start(i);
}

void Cluster::disturb(Random& random) {
  const std::size_t i = random.below(size());
  if (random.chance(0.4)) return engines_[i]->fold();
  if (random.chance(0.4)) return static_cast<void>(engines_[i]->compact());
  restart(i);
}

void Cluster::verify() {
  for (auto& engine : engines_) {
    for (const std::string& problem : engine->verify().problems) CHECK_EQ(problem, "");
    CHECK_EQ(engine->take_warnings().size(), 0U);
  }
}

}  // namespace parsl_tl::testing
