// Stands in for libFuzzer where there is none: runs the target on every file that is named or lies
// in a folder that is named, and then on random mutations of them.
//
//   fuzz_X [-runs=N] [-seed=N] [-max_len=N] [-max_total_time=SECONDS] file-or-folder...
//
// Other options of libFuzzer are passed over. The input that is being run stands in the file
// crash-in-work (-artifact_prefix=... before its name): after a crash it holds what made it.
#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string_view>

#include "file.hpp"
#include "random.hpp"
#include "scratch.hpp"
#include "wrap.hpp"

// Of the targets that have one.
extern "C" __attribute__((weak)) std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                                                     std::size_t size,
                                                                     std::size_t most,
                                                                     unsigned seed);

namespace parsl_tl::fuzz {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::uint64_t runs = 0;
  std::uint64_t seed = 1;
  std::size_t max_len = 1 << 16;
  double seconds = 0;  // 0: as long as it takes
  std::string artifact_prefix;
  std::vector<std::string> places;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view text = argv[i];
    const auto value = [&](std::string_view name) {
      return text.starts_with(name) ? argv[i] + name.size() : nullptr;
    };
    if (const char* number = value("-runs=")) arguments.runs = std::strtoull(number, nullptr, 10);
    if (const char* number = value("-seed=")) arguments.seed = std::strtoull(number, nullptr, 10);
    if (const char* number = value("-max_len=")) {
      arguments.max_len = std::strtoull(number, nullptr, 10);
    }
    if (const char* number = value("-max_total_time=")) arguments.seconds = std::atof(number);
    if (const char* prefix = value("-artifact_prefix=")) arguments.artifact_prefix = prefix;
    if (!text.starts_with("-")) arguments.places.emplace_back(text);
  }
  if (arguments.seconds > 0 && arguments.runs == 0) arguments.runs = ~std::uint64_t{0};
  return arguments;
}

std::vector<Bytes> read_all(const std::vector<std::string>& places) {
  std::vector<std::string> names;
  for (const std::string& place : places) {
    if (!fs::is_directory(place)) {
      names.push_back(place);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(place)) names.push_back(entry.path().string());
  }
  std::sort(names.begin(), names.end());  // the same order everywhere
  std::vector<Bytes> inputs;
  for (const std::string& name : names) inputs.push_back(testing::read_file(name));
  return inputs;
}

/// One change: bits, bytes, numbers at the edges of their range, pieces moved, cut or doubled.
void mutate(Bytes& bytes, const std::vector<Bytes>& others, testing::Random& random) {
  static const std::vector<std::uint64_t> kEdges{0,
                                                 1,
                                                 8,
                                                 64,
                                                 0x7F,
                                                 0xFF,
                                                 0x7FFFFFFF,
                                                 0x80000000,
                                                 0xFFFFFFFF,
                                                 ~std::uint64_t{0} >> 1,
                                                 ~std::uint64_t{0},
                                                 std::uint64_t{1} << 61};
  const auto place = [&] { return random.below(bytes.size()); };
  const auto at = [&](std::size_t i) { return bytes.begin() + static_cast<std::ptrdiff_t>(i); };
  if (bytes.empty()) bytes.push_back(0);
  switch (random.below(7)) {
    case 0:
      bytes[place()] ^= static_cast<std::uint8_t>(1 << random.below(8));
      break;
    case 1:
      bytes[place()] = static_cast<std::uint8_t>(random());
      break;
    case 2: {
      const std::uint64_t value = random.pick(kEdges);
      const std::size_t width = std::size_t{1} << random.below(4);
      const std::size_t begin = random.chance(0.8) ? place() / width * width : place();
      for (std::size_t i = 0; i < width && begin + i < bytes.size(); ++i) {
        bytes[begin + i] = static_cast<std::uint8_t>(value >> (8 * i));
      }
      break;
    }
    case 3:
      bytes[place()] += static_cast<std::uint8_t>(random.chance(0.5) ? 1 : -1);
      break;
    case 4: {
      const std::size_t begin = place();
      bytes.erase(at(begin),
                  at(begin + random.below(std::min<std::size_t>(bytes.size() - begin, 64))));
      break;
    }
    case 5: {
      const std::size_t begin = place();
      const std::size_t size = random.below(std::min<std::size_t>(bytes.size() - begin, 64) + 1);
      const Bytes piece(at(begin), at(begin + size));
      bytes.insert(at(place()), piece.begin(), piece.end());
      break;
    }
    default: {
      const Bytes& other = random.pick(others);
      if (other.empty()) break;
      const std::size_t begin = random.below(other.size());
      const std::size_t size = random.below(std::min(other.size() - begin, bytes.size()));
      const std::size_t to = random.chance(0.7) ? std::min(begin, bytes.size() - 1) : place();
      std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(begin),
                  std::min(size, bytes.size() - to), at(to));
    }
  }
}

// What the target's own mutator falls back on.
std::function<void(Bytes&)> plain_mutation;

/// By the target's own mutator.
void mutate_as_target(Bytes& bytes, std::size_t most, const std::vector<Bytes>& others,
                      testing::Random& random) {
  plain_mutation = [&](Bytes& plain) { mutate(plain, others, random); };
  const std::size_t size = std::min(bytes.size(), most);
  bytes.resize(most);
  bytes.resize(LLVMFuzzerCustomMutator(bytes.data(), size, most, static_cast<unsigned>(random())));
}

int run(const Arguments& arguments) {
  std::vector<Bytes> inputs = read_all(arguments.places);
  File in_work(arguments.artifact_prefix + "crash-in-work", O_RDWR | O_CREAT | O_TRUNC);
  const auto try_input = [&](const Bytes& bytes) {
    in_work.truncate(bytes.size());
    in_work.write_at(0, bytes.data(), bytes.size());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  };
  for (const Bytes& bytes : inputs) try_input(bytes);
  if (inputs.empty()) inputs.emplace_back();
  testing::Random random(arguments.seed);
  const auto start = std::chrono::steady_clock::now();
  const auto took = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::uint64_t done = 0;
  for (; done < arguments.runs && (arguments.seconds == 0 || took() < arguments.seconds); ++done) {
    Bytes bytes = random.pick(inputs);
    for (std::uint64_t i = 0; i <= random.below(6); ++i) {
      if (LLVMFuzzerCustomMutator != nullptr && random.chance(0.5)) {
        mutate_as_target(bytes, arguments.max_len, inputs, random);
      } else {
        mutate(bytes, inputs, random);
      }
    }
    bytes.resize(std::min(bytes.size(), arguments.max_len));
    try_input(bytes);
  }
  fs::remove(in_work.path());
  std::printf("%zu files and %zu mutations, no crash, %.1f s\n", inputs.size(),
              static_cast<std::size_t>(done), took());
  return 0;
}

}  // namespace
}  // namespace parsl_tl::fuzz

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most) {
  using namespace parsl_tl::fuzz;
  Bytes bytes(data, data + size);
  plain_mutation(bytes);
  bytes.resize(std::min(bytes.size(), most));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

int main(int argc, char** argv) { return parsl_tl::fuzz::run(parsl_tl::fuzz::parse(argc, argv)); }
