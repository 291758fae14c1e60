// A consumer that a certain message kills: the process aborts with it in hand, without an answer
// and without a goodbye, as a real one does that trips over what it reads. For poison_run.py.
#include "net/client/client.hpp"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace {

volatile std::sig_atomic_t told_to_end = 0;

struct options {
  std::string server, topic, group, name, seen;
  std::string poison = "poison";
  std::uint32_t credit = 20;
  std::uint64_t work_ms = 2;
};

/// One line, in the file before anything else happens.
void note(int file, const std::string& line) {
  if (::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::runtime_error{"the file of --seen cannot be written"};
}

void run(const options& o) {
  const int file = ::open(o.seen.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0)
    throw std::runtime_error{"the file of --seen cannot be opened: " + o.seen};
  waybill::client depot{o.server, {.name = o.name}};
  auto consumer = depot.subscribe(o.topic, o.group, {.name = o.name, .credit_messages = o.credit});
  while (told_to_end == 0) {
    const auto m = consumer.next(waybill::milliseconds{100});
    if (!m)
      continue;
    note(file, m->id() + " " + std::to_string(m->attempt()) + " " + o.name + "\n");
    if (m->body().starts_with(o.poison))
      std::abort();
    std::this_thread::sleep_for(waybill::milliseconds{o.work_ms});
    consumer.ack(*m);
  }
  consumer.close();
}

} // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app{"Consumes, acknowledges, and aborts at a message that begins with a certain word"};
  app.add_option("--server", o.server, "HOST:PORT of the node")->required();
  app.add_option("--topic", o.topic)->required();
  app.add_option("--group", o.group)->required();
  app.add_option("--name", o.name, "This consumer's name")->required();
  app.add_option("--seen", o.seen, "Gets a line per delivery: id, attempt, name")->required();
  app.add_option("--poison", o.poison, "What the body begins with that kills")
      ->capture_default_str();
  app.add_option("--credit", o.credit, "Messages in hand at once")->capture_default_str();
  app.add_option("--work-ms", o.work_ms, "Time that a message takes")->capture_default_str();
  app.footer("Ends cleanly on SIGTERM, with status 0.");
  CLI11_PARSE(app, argc, argv);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(SIGTERM, [](int) { told_to_end = 1; });
  try {
    run(o);
  } catch (const std::exception& e) {
    std::cerr << "waybill-fragile-consumer: " << e.what() << '\n';
    return 1;
  }
  return 0;
}
