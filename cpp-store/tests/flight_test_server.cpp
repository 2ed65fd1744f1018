// A Flight server in a process of its own, for tests that kill it.
#include "flight_ends.hpp"

int main(int argc, char** argv) {
  using namespace parsl_tl::testing;
  return contract_program(over_flight(""), argc, argv);
}
