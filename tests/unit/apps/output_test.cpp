// Writing out: the caller learns how many bytes were taken, whatever happens to the reader.
#include "apps/waybill/output.hpp"
#include "tests/unit/apps/support.hpp"

#include <csignal>
#include <fcntl.h>
#include <thread>

using namespace waybill::cli;
using namespace waybill::cli::testing;

TEST_CASE("a slow reader gets every byte", "[output]") {
  pipe_ends ends;
  const std::string bytes(1'000'000, 'x');
  std::size_t read = 0;
  std::thread reader{[&] {
    char buffer[10'000];
    for (ssize_t n = 0; (n = ::read(ends.reader(), buffer, sizeof buffer)) > 0;)
      read += static_cast<std::size_t>(n);
  }};
  const auto outcome = write_out(ends.writer(), bytes, -1);
  ends.close_writer();
  reader.join();
  CHECK(outcome.end == write_end::whole);
  CHECK(outcome.bytes == bytes.size());
  CHECK(read == bytes.size());
}

TEST_CASE("a reader that left is told, with what it was given before", "[output]") {
  std::signal(SIGPIPE, SIG_IGN);
  pipe_ends ends;
  ends.close_reader();
  const auto outcome = write_out(ends.writer(), "x", -1);
  CHECK(outcome.end == write_end::reader_gone);
  CHECK(outcome.bytes == 0);
}

TEST_CASE("a stop ends the wait for a reader that takes nothing", "[output]") {
  pipe_ends ends, stop;
  stop.put("x");
  const auto outcome = write_out(ends.writer(), std::string(10'000'000, 'x'), stop.reader());
  CHECK(outcome.end == write_end::stopped);
  CHECK(outcome.bytes > 0);
  CHECK(outcome.bytes < 10'000'000);
}

TEST_CASE("a stop does not keep from writing what the reader takes", "[output]") {
  pipe_ends ends, stop;
  stop.put("x");
  CHECK(write_out(ends.writer(), "abc", stop.reader()).end == write_end::whole);
}

TEST_CASE("a full disk is an error with a reason", "[output]") {
  const int fd = ::open("/dev/full", O_WRONLY);
  REQUIRE(fd >= 0);
  const auto outcome = write_out(fd, "x", -1);
  ::close(fd);
  CHECK(outcome.end == write_end::failed);
  CHECK_FALSE(outcome.reason.empty());
}
