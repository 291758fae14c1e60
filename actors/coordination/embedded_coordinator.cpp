#include "actors/coordination/embedded_coordinator.hpp"

#include <charconv>
#include <map>

namespace waybill {

namespace {

/// Before the keys of this actor's records in the store.
constexpr std::string_view store_prefix = "coordinator/";

/// On disk: the version in decimal, a new line, the value.
std::string with_version(const versioned_record& r) {
  return std::to_string(r.version) + "\n" + r.value;
}

result<versioned_record> without_version(const std::string& key, std::string_view stored) {
  versioned_record r;
  const auto [end, error] =
      std::from_chars(stored.data(), stored.data() + stored.size(), r.version);
  if (error != std::errc{} || end == stored.data() + stored.size() || *end != '\n')
    return failure{ec::damaged, "the coordinator's record " + key + " in the store has no version"};
  r.value = stored.substr(static_cast<std::size_t>(end - stored.data()) + 1);
  return r;
}

} // namespace

struct embedded_coordinator_state {
  static inline const char* name = "coordinator";

  coordinator_actor::stateful_pointer<embedded_coordinator_state> self;
  context_ptr node;
  /// As they will be once the writer has written what was handed to it: a write that fails ends the
  /// node.
  std::map<std::string, versioned_record> known;

  result<void> load() {
    auto stored = node->data->records(std::string{store_prefix});
    if (!stored)
      return stored.error();
    for (const auto& [key, value] : *stored) {
      const auto name_only = key.substr(store_prefix.size());
      auto read = without_version(name_only, value);
      if (!read)
        return read.error();
      known[name_only] = *std::move(read);
    }
    return {};
  }

  versioned_record get(const std::string& key) const {
    const auto found = known.find(key);
    return found == known.end() ? versioned_record{} : found->second;
  }

  caf::result<versioned_record> put(const std::string& key, std::uint64_t expected,
                                    std::string value) {
    const auto now = get(key);
    if (now.version != expected)
      return now;
    const auto writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
    if (!writer)
      return to_error({ec::stopping, "the store is closed"});
    const bool removes = value.empty();
    const versioned_record next{expected + 1, std::move(value)};
    if (removes)
      known.erase(key);
    else
      known[key] = next;
    auto answer = self->make_response_promise<versioned_record>();
    // Without a time-out: the writer answers, or ends and the node with it.
    self->request(writer, caf::infinite, atom::record_v,
                  record_list{{std::string{store_prefix} + key,
                               removes ? std::string{} : with_version(next)}})
        .then([answer, next](done) mutable { answer.deliver(next); },
              [answer](const caf::error& why) mutable { answer.deliver(why); });
    return answer;
  }

  versioned_list list(const std::string& prefix) const {
    versioned_list result;
    for (auto each = known.lower_bound(prefix);
         each != known.end() && each->first.starts_with(prefix); ++each)
      result.emplace_back(*each);
    return result;
  }
};

static coordinator_actor::behavior_type
embedded_coordinator(coordinator_actor::stateful_pointer<embedded_coordinator_state> self,
                     context_ptr node) {
  auto& state = self->state;
  state.self = self;
  state.node = std::move(node);
  if (const auto loaded = state.load(); !loaded)
    self->quit(to_error(loaded.error()));
  return {
      [&state](atom::get, const std::string& key) { return state.get(key); },
      [&state](atom::put, const std::string& key, std::uint64_t expected, std::string& value) {
        return state.put(key, expected, std::move(value));
      },
      [&state](atom::list, const std::string& prefix) { return state.list(prefix); },
  };
}

coordinator_actor spawn_embedded_coordinator(caf::actor_system& system, context_ptr node) {
  return system.spawn(embedded_coordinator, std::move(node));
}

} // namespace waybill
