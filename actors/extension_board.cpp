#include "actors/extension_board.hpp"

#include <algorithm>

namespace waybill {

std::string extension_slot::title() const {
  std::string text{what_ == kind::alarm_sink          ? "alarm sink "
                   : what_ == kind::interceptor       ? "interceptor "
                   : what_ == kind::redelivery_policy ? "redelivery policy "
                                                      : "dead-letter listener "};
  text += name_;
  return text;
}

template <class Factories>
std::size_t extension_board::slot_of(extension_slot::kind what, const std::string& name,
                                     const Factories& factories) {
  const auto found = std::ranges::find_if(
      slots_, [&](const auto& each) { return each->what() == what && each->name() == name; });
  if (found != slots_.end())
    return static_cast<std::size_t>(found - slots_.begin());
  const auto start = [factory = factories.at(name)](caf::actor_system& system) {
    return caf::actor_cast<caf::strong_actor_ptr>(factory(system));
  };
  slots_.push_back(std::make_unique<extension_slot>(what, name, start));
  return slots_.size() - 1;
}

void extension_board::fill(const extension_set& known, const extension_places& placed) {
  using enum extension_slot::kind;
  for (const auto& name : placed.alarm_sinks)
    slot_of(alarm_sink, name, known.alarm_sinks);
  for (const auto& each : placed.interceptors)
    interceptors_.emplace_back(each.pattern,
                               slot_of(interceptor, each.extension, known.interceptors));
  for (const auto& each : placed.letter_listeners)
    listeners_.emplace_back(each.pattern,
                            slot_of(letter_listener, each.extension, known.letter_listeners));
  for (const auto& each : placed.redelivery_policies)
    policies_.emplace_back(each.pattern,
                           slot_of(redelivery_policy, each.extension, known.redelivery_policies));
}

/// `TOPIC/GROUP` as a pattern.
static bool fits(std::string_view pattern, std::string_view topic, std::string_view group) {
  const auto slash = pattern.find('/');
  return matches(pattern.substr(0, slash), topic) && matches(pattern.substr(slash + 1), group);
}

extension_slot* extension_board::redelivery_of(std::string_view topic,
                                               std::string_view group) const {
  for (const auto& [pattern, slot] : policies_)
    if (fits(pattern, topic, group))
      return slots_[slot].get();
  return nullptr;
}

extension_slot* extension_board::interceptor_of(std::string_view topic) const {
  for (const auto& [pattern, slot] : interceptors_)
    if (matches(pattern, topic))
      return slots_[slot].get();
  return nullptr;
}

std::vector<std::size_t> extension_board::listeners_of(std::string_view topic,
                                                       std::string_view group) const {
  std::vector<std::size_t> result;
  for (const auto& [pattern, slot] : listeners_) {
    if (fits(pattern, topic, group) && std::ranges::find(result, slot) == result.end())
      result.push_back(slot);
  }
  return result;
}

} // namespace waybill
