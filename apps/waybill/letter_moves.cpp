// See letter_moves.hpp.
#include "apps/waybill/letter_moves.hpp"

#include "apps/waybill/console.hpp"
#include "apps/waybill/in_order.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/text.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <map>
#include <thread>

namespace waybill::cli {

std::optional<redrive_target> parse_redrive_target(std::string_view text) {
  const auto slash = text.find('/');
  redrive_target target{std::string{text.substr(0, slash)}, {}};
  if (!is_valid_name(target.topic))
    return std::nullopt;
  if (slash == std::string_view::npos)
    return target;
  const auto digits = text.substr(slash + 1);
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size())
    return std::nullopt;
  target.partition = number;
  return target;
}

namespace dlq {

namespace {

// What one call of the contract takes (net/waybill.capnp, redriveDeadLetters).
constexpr std::size_t page_letters = 1'000;
constexpr std::size_t page_bytes = 4u << 20;

/// Moves dead letters away in pages, and tells what went where.
class move_run {
public:
  move_run(context& c, const settings& s, mover how, std::string done_word)
      : c_{c}, s_{s}, how_{std::move(how)}, done_word_{std::move(done_word)} {}

  status run(client& depot) {
    {
      const progress shown{c_.err, [this] {
                             return progress_text({moved_, "dead letter", 0, -1});
                           }};
      if (s_.ids.empty())
        move_all(depot);
      else
        move_chosen(depot);
    }
    if (c_.json_wanted)
      print(json_line({{"moved", moved_.load()},
                       {"left", left_},
                       {"not_found", missing_},
                       {"dry_run", s_.dry_run}}));
    else
      c_.err.note(counted(moved_, "dead letter") + (s_.dry_run ? " would be " : " ") + done_word_ +
                  (left_ > 0 ? ", " + grouped(left_) + " left as they are" : "") +
                  (missing_ > 0 ? ", " + grouped(missing_) + " not found (any more)." : "."));
    return missing_ + left_ == 0 && !stop_signal::requested() ? status::done : status::failed;
  }

private:
  void move_chosen(client& depot) {
    std::map<std::uint32_t, std::vector<message_offset>> by_partition;
    for (const auto& id : chosen_ids(s_))
      by_partition[id.partition].push_back(id.offset);
    for (auto& [partition, offsets] : by_partition) {
      std::ranges::sort(offsets);
      offsets.erase(std::unique(offsets.begin(), offsets.end()), offsets.end());
      // One at a time when they are named: nobody has said how large they are.
      for (const auto& offset : offsets)
        missing_ += move_page(depot, partition, {&offset, 1}) == 0 ? 1 : 0;
    }
  }

  /// All that are chosen. What dies while this runs is left for the next run: otherwise a message
  /// that kills every consumer would keep it going for ever.
  void move_all(client& depot) {
    for (const auto& p : depot.describe_topic(s_.topic).partitions) {
      message_offset from{0};
      std::vector<message_offset> page;
      do {
        page = next_page(depot, p.number, from, p.next_offset);
        if (page.empty())
          break;
        from = message_offset{page.back().value + 1};
        pace(page.size());
        if (stop_signal::requested())
          return;
        move_page(depot, p.number, page);
      } while (!stop_signal::requested());
    }
  }

  std::vector<message_offset> next_page(client& depot, std::uint32_t partition, message_offset from,
                                        message_offset end) const {
    std::vector<message_offset> page;
    std::size_t bytes = 0;
    // Ten pages a second at the most, so that a rate is kept evenly.
    const auto most =
        s_.rate ? std::clamp<std::size_t>(*s_.rate / 10, 1, page_letters) : page_letters;
    depot.list_dead_letters(
        s_.topic, s_.group, partition, from, s_.choice.wants_bodies(),
        [&](const dead_letter_info& d) {
          const std::size_t size = d.bytes + 256; // the framing of one letter, rounded up
          if (d.offset >= end || page.size() >= most ||
              (!page.empty() && bytes + size > page_bytes) || stop_signal::requested())
            return false;
          if (!s_.choice.matches(d, began_) ||
              ((s_.again || s_.give_up) && d.transfer != "in-doubt"))
            return true;
          bytes += size;
          page.push_back(d.offset);
          return true;
        });
    return page;
  }

  /// Waits until so many more are within the rate that was asked for.
  void pace(std::size_t more) {
    if (!s_.rate)
      return;
    const auto due =
        start_ + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(
                     static_cast<double>(paced_) / static_cast<double>(*s_.rate)));
    paced_ += more;
    for (auto left = due - clock::now(); left > clock::duration{} && !stop_signal::requested();
         left = due - clock::now())
      std::this_thread::sleep_for(std::min<clock::duration>(left, milliseconds{100}));
  }

  std::size_t tell_page(std::uint32_t partition, std::span<const message_offset> page) {
    std::string lines;
    for (const auto offset : page) {
      const auto from = message_id(s_.topic, partition, offset);
      lines += c_.json_wanted ? json_line({{"from", from}, {"to", nullptr}})
                              : from + " would be " + done_word_ + "\n";
    }
    moved_ += page.size();
    print(lines);
    return page.size();
  }

  /// @returns of how many it is known what became of them
  std::size_t move_page(client& depot, std::uint32_t partition,
                        std::span<const message_offset> page) {
    if (s_.dry_run)
      return tell_page(partition, page);
    const auto done = how_(depot, partition, page);
    std::string lines;
    for (const auto& [offset, to] : done.moved) {
      const auto from = message_id(s_.topic, partition, offset);
      if (c_.json_wanted)
        lines += json_line({{"from", from}, {"to", to.empty() ? json() : json(to)}});
      else
        lines += from + (to.empty() ? " " + done_word_ : " -> " + to) + "\n";
    }
    for (const auto& [offset, why] : done.left) {
      const auto from = message_id(s_.topic, partition, offset);
      if (c_.json_wanted)
        lines += json_line({{"from", from},
                            {"to", nullptr},
                            {"left", {{"code", to_string(why.code)}, {"detail", why.detail}}}});
      else
        lines += from + " stays: " + printable(why.detail, 1'000) + "\n";
    }
    moved_ += done.moved.size();
    left_ += done.left.size();
    print(lines);
    return done.moved.size() + done.left.size();
  }

  context& c_;
  const settings& s_;
  mover how_;
  std::string done_word_;
  using clock = std::chrono::steady_clock;
  const wall_time began_ = now();
  const clock::time_point start_ = clock::now();
  std::uint64_t paced_ = 0;
  std::atomic<std::uint64_t> moved_ = 0; // read by the progress thread
  std::uint64_t missing_ = 0, left_ = 0;
};

} // namespace

wall_time now() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
}

std::vector<letter_id> chosen_ids(const settings& s) {
  std::vector<letter_id> chosen;
  for (const auto& text : s.ids) {
    const auto id = parse_letter_id(text, s.topic);
    if (!id)
      throw usage_error{"`" + text + "` is no message of topic " + s.topic +
                        ": write TOPIC/PARTITION/OFFSET or PARTITION/OFFSET."};
    chosen.push_back(*id);
  }
  return chosen;
}

void must_exist(client& depot, const settings& s) {
  [[maybe_unused]] const auto group = find_group(depot, s.topic, s.group);
}

status move_letters(context& c, client& depot, const settings& s, mover how,
                    std::string done_word) {
  return move_run{c, s, std::move(how), std::move(done_word)}.run(depot);
}

} // namespace dlq
} // namespace waybill::cli
