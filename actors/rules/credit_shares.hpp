// A consumer's credit, shared out among the partitions that it reads: never more than the whole is
// out. Pure. Source: docs/design.md, section 6 ("Push with credit").
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace waybill {

/// What a partition may have out at once. Bytes go with messages, in proportion; a partition that
/// has nothing out may send one message whatever its size.
struct credit_share {
  std::uint32_t messages = 0;
  std::uint64_t bytes = 0;
  friend bool operator==(const credit_share&, const credit_share&) = default;
};

/// Invariant: the shares told and not taken back, or what is out where that is more, add up to the
/// whole at most. A share is lowered in two steps (`rebalance` says so, `confirmed` when the
/// partition agreed), and only then is what became free given to others.
class credit_shares {
public:
  /// @pre partitions >= 1 and messages >= 1
  credit_shares(std::size_t partitions, std::uint32_t messages, std::uint64_t bytes);
  [[nodiscard]] credit_share share(std::size_t partition) const;

  void delivered(std::size_t partition, std::uint32_t messages);
  void released(std::size_t partition, std::uint32_t messages);
  /// The partition's leader has ended: nothing is out there, and what it was told is forgotten with
  /// it.
  void forgotten(std::size_t partition);

  struct change {
    std::size_t partition = 0;
    credit_share share;
  };
  /// What to tell partitions now: idle ones hand back, busy ones get what is free. Call now and
  /// then.
  [[nodiscard]] std::vector<change> rebalance();
  /// The partition will keep to the share it was told last.
  void confirmed(std::size_t partition);
  /// Another whole. Shares shrink or grow at the next `rebalance`.
  void resize(std::uint32_t messages, std::uint64_t bytes);
  /// Whether `rebalance` may have something to do: somebody wants more than it has.
  [[nodiscard]] bool wanting() const;
  [[nodiscard]] std::uint64_t out() const;

private:
  struct part {
    std::uint32_t share = 0;                ///< told
    std::optional<std::uint32_t> lowered{}; ///< told, from `share` down to this, and not confirmed
    std::uint32_t out = 0;
  };
  [[nodiscard]] bool busy(const part& p) const;
  [[nodiscard]] std::uint64_t used() const;
  void lower(std::size_t partition, std::uint32_t to, std::vector<change>& changes);
  [[nodiscard]] std::uint64_t bytes_of(std::uint32_t messages) const;
  void give_free(std::vector<change>& changes);

  std::uint32_t messages_;
  std::uint64_t bytes_;
  std::vector<part> parts_;
  std::size_t next_starved_ =
      0; ///< where the rotation goes on when there are more partitions than credit
};

} // namespace waybill
