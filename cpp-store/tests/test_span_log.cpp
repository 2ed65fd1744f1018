// Spans of requests: whose work they were, and what becomes of a file that cannot be written.
#include <algorithm>
#include <sstream>

#include "check.hpp"
#include "cluster.hpp"
#include "raw_client.hpp"
#include "requests/retire.hpp"
#include "sample_models.hpp"
#include "scratch.hpp"
#include "server_fixture.hpp"

namespace parsl_tl::testing {
namespace {

constexpr TraceContext kMine{{0xAB, 1}, {0xCD, 2}};
constexpr char kTrace[] = "\"traceId\":\"ab010000000000000000000000000000\"";
constexpr char kParent[] = "\"parentSpanId\":\"cd02000000000000\"";

std::vector<std::string> lines_of(const std::string& path) {
  const Bytes bytes = read_file(path);
  std::istringstream text(std::string(bytes.begin(), bytes.end()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

ServerOptions recording_to(const std::string& path) {
  ServerOptions options;
  options.spans = std::make_shared<SpanLog>(path, R"({"attributes":[]})");
  return options;
}

CASE(span_log_has_the_requests_of_a_call_on_all_servers) {
  const Scratch scratch;
  const std::string path = scratch / "spans.jsonl";
  Cluster cluster(scratch.path(), 3, recording_to(path));
  const auto store = cluster.connect();
  const auto model = ServerFixture::model(7);
  CHECK(lines_of(path).empty());  // nobody has asked for spans
  {
    const TraceScope scope(kMine);
    store->put(model->request);
    store->find_donor({model->request.layer_keys, {}}, {});
  }
  const auto lines = lines_of(path);
  const auto count = [&](const std::string& name) {
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return has(line, "\"name\":\"" + name + "\"");
    });
  };
  CHECK_EQ(count("put"), 1);
  CHECK_EQ(count("best_ancestors"), 3);
  for (const std::string& line : lines) {
    CHECK(has(line, kTrace) && has(line, kParent));
    CHECK(line.starts_with("{\"resourceSpans\":[{\"resource\":{\"attributes\":[]}") &&
          line.ends_with("}]}]}]}"));
    if (has(line, "\"put\"")) CHECK(!has(line, R"("intValue":"0")"));  // its tensors
  }
  store->find_donor({model->request.layer_keys, {}}, {});
  CHECK_EQ(lines_of(path).size(), lines.size());
}

CASE(span_log_tells_what_failed) {
  const Scratch scratch;
  const std::string path = scratch / "spans.jsonl";
  ServerFixture fixture(recording_to(path));
  RawClient client(fixture.server);
  client.header.trace = kMine;
  CHECK_THROWS(client.ask(RetireRequest{99}), ErrorCode::kNotFound);
  const auto lines = lines_of(path);
  CHECK_EQ(lines.size(), 1U);
  CHECK(has(lines.at(0), R"("name":"retire")") && has(lines.at(0), R"("status":{"code":2})"));
}

CASE(span_log_that_cannot_be_written_ends_and_says_so_once) {
  ServerFixture fixture(recording_to("/dev/full"));
  RawClient client(fixture.server);
  client.header.trace = kMine;
  client.ask(PingRequest{});
  client.ask(PingRequest{});
  const std::string why = fixture.server.options().spans->take_failure();
  CHECK(has(why, "/dev/full") && has(why, "No space"));
  CHECK(fixture.server.options().spans->take_failure().empty());
  CHECK_THROWS(SpanLog("/dev/null/none", "{}"), ErrorCode::kIo);
}

}  // namespace
}  // namespace parsl_tl::testing
