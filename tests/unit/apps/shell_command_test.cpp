// Commands of the user's: what they are given, and what their end is called.
#include "apps/waybill/shell_command.hpp"
#include "tests/unit/apps/support.hpp"

using namespace waybill::cli;
using namespace waybill::cli::testing;
using namespace std::chrono_literals;

TEST_CASE("a command gets the whole input and the environment, and its success says nothing",
          "[shell_command]") {
  const scratch work;
  const std::string input = std::string(300'000, 'x') + '\0' + "end";
  const auto copy = work.file("copy");
  CHECK_FALSE(run({"cat > \"$COPY\"; printf %s \"$GREETING\" > \"$COPY.greeting\""}, input,
                  {{"COPY", copy}, {"GREETING", "two words"}}));
  CHECK(content_of(copy) == input);
  CHECK(content_of(copy + ".greeting") == "two words");
}

TEST_CASE("our own environment goes along, unless a setting replaces it", "[shell_command]") {
  ::setenv("WAYBILL_TEST_KEPT", "kept", 1);
  ::setenv("WAYBILL_TEST_REPLACED", "old", 1);
  CHECK_FALSE(run({"test \"$WAYBILL_TEST_KEPT$WAYBILL_TEST_REPLACED\" = keptnew"}, "",
                  {{"WAYBILL_TEST_REPLACED", "new"}}));
}

TEST_CASE("a command that does not read its input holds nobody up", "[shell_command]") {
  CHECK_FALSE(run({"exit 0"}, std::string(4'000'000, 'x'), {}));
  CHECK_FALSE(run({"head -c 1 > /dev/null"}, std::string(4'000'000, 'x'), {}));
}

TEST_CASE("how a command failed is told in words", "[shell_command]") {
  CHECK(run({"exit 3"}, "", {}) == "exit status 3");
  CHECK(run({"/nonexistent/program 2> /dev/null"}, "", {}) == "exit status 127");
  CHECK(run({"kill -KILL $$"}, "", {}) == "ended by signal 9 (Killed)");
}

TEST_CASE("a command that takes too long is killed, with its children", "[shell_command]") {
  const scratch work;
  const auto pid_file = work.file("pid");
  CHECK(run({"sleep 1000 & echo $! > \"$PID_FILE\"; wait", 300ms}, "", {{"PID_FILE", pid_file}}) ==
        "took longer than 300ms");
  const auto child = std::stoi(content_of(pid_file));
  // Its parent is gone, so whoever adopted it has to take note before the number is free.
  bool gone = false;
  for (int look = 0; look < 1'000 && !gone; ++look) {
    const auto state = content_of("/proc/" + std::to_string(child) + "/stat");
    gone = state.empty() || state.find(") Z ") != std::string::npos;
    if (!gone)
      ::usleep(10'000);
  }
  CHECK(gone);
  CHECK_FALSE(run({"exit 0", 10s}, "", {}));
}
