#include "tests/node/hosted_node.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

#include <unistd.h>

namespace waybill::test {

result<void> hosted_node::try_start() {
  end();
  auto config = std::make_unique<node_config>();
  if (how_.extend)
    how_.extend(*config);
  std::vector<std::string> arguments{"--node.data-dir=" + how_.directory,
                                     "--net.listen=127.0.0.1:" + std::to_string(port_)};
  if (!how_.disk_free) // what the machine's disk has is no test's business
    arguments.emplace_back("--storage.disk-free-min=0");
  arguments.insert(arguments.end(), how_.flags.begin(), how_.flags.end());
  if (auto read = config->read(arguments); !read)
    return read.error();
  for (const auto& [key, value] : how_.bounds)
    config->set(*find_limit(key), value);
  notes_->failed.reset();
  node_options options;
  options.log = [notes = notes_](log_level, const std::string& line) {
    static const bool aloud = std::getenv("WAYBILL_TEST_ALOUD") != nullptr;
    if (aloud)
      std::fprintf(stderr, "node: %s\n", line.c_str());
    const std::lock_guard lock{notes->guard};
    notes->said.push_back(line);
  };
  options.env = how_.env;
  options.disk_free = how_.disk_free;
  auto started = node::start(*config, options);
  if (!started)
    return started.error();
  node_ = *std::move(started);
  config_ = std::move(config);
  port_ = node_->port();
  node_->on_failure([notes = notes_](const failure& why) {
    const std::lock_guard lock{notes->guard};
    notes->failed = why;
    notes->changed.notify_all();
  });
  return {};
}

void hosted_node::start() {
  const auto started = try_start();
  if (started)
    return;
  std::printf("the node does not start: %s\n", started.error().detail.c_str());
  throw std::runtime_error{"the node does not start: " + started.error().detail};
}

void hosted_node::end() {
  node_.reset();
  config_.reset();
}

std::optional<failure> hosted_node::await_failure(milliseconds patience) {
  std::unique_lock lock{notes_->guard};
  notes_->changed.wait_for(lock, patience, [this] { return notes_->failed.has_value(); });
  return notes_->failed;
}

void hosted_node::cut_power(std::uint64_t seed) {
  if (!how_.env->is_off())
    how_.env->power_cut({.seed = seed, .mode = tail::torn});
  end();
  how_.env->reboot();
}

std::vector<std::string> hosted_node::said() const {
  const std::lock_guard lock{notes_->guard};
  return notes_->said;
}

bool hosted_node::has_said(const std::string& words) const {
  const auto lines = said();
  return std::ranges::any_of(
      lines, [&words](const auto& line) { return line.find(words) != std::string::npos; });
}

temporary_directory::temporary_directory() {
  auto pattern = (std::filesystem::temp_directory_path() / "waybill-test-XXXXXX").string();
  if (!::mkdtemp(pattern.data()))
    throw std::runtime_error{"no temporary directory can be made like " + pattern};
  path_ = pattern;
}

temporary_directory::~temporary_directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const auto* text = std::getenv(name);
  return text ? std::stoull(text) : otherwise;
}

client_options quiet() {
  client_options options;
  options.log = [](const std::string&) {};
  return options;
}

std::uint64_t drawn_seed() {
  const auto seed = from_environment("WAYBILL_SEED", std::random_device{}());
  std::printf("seed: %llu (WAYBILL_SEED=%llu repeats it)\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

std::uint64_t resident_bytes() {
  std::ifstream file{"/proc/self/statm"};
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool comes_true(milliseconds patience, const std::function<bool()>& what) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!what()) {
    if (std::chrono::steady_clock::now() >= until)
      return false;
    std::this_thread::sleep_for(milliseconds{5});
  }
  return true;
}

} // namespace waybill::test
