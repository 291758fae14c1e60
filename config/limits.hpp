// The page of limits: every bound of a node, with its default. Each is a key of the configuration
// (`config/limits.cpp` names key, unit, range and what happens at the end of it); a test walks that
// table and drives each one to its end. Nothing is dropped in silence. Source: docs/design.md, 5.
#pragma once

#include <chrono>
#include <cstdint>

namespace waybill {

using std::chrono::milliseconds;

struct net_limits {
  std::uint64_t message_bytes_max = 1u << 20;     ///< key, headers, body; 16 MiB at the most
  std::uint64_t batch_bytes_max = 4u << 20;       ///< a serialised batch; >= message_bytes_max + 4 KiB
  std::uint64_t batch_messages_max = 10'000;
  std::uint64_t connections_max = 10'000;         ///< further ones are closed at once
  std::uint64_t sessions_max = 10'000;            ///< producers and subscriptions of one connection
  std::uint64_t in_flight_max = 1'000;            ///< unanswered publishes of one producer
  std::uint64_t connection_bytes_max = 64u << 20; ///< of unanswered calls of one connection
  milliseconds login_timeout{10'000};             ///< a connection that has not logged in by then ends
};

struct storage_limits {
  std::uint64_t generation_bytes = 1u << 30;      ///< a generation is sealed beyond it
  std::uint64_t generation_entries = 1'000'000;   ///< or beyond so many entries
  std::uint64_t write_buffer_bytes = 16u << 20;   ///< LevelDB's, per open generation
  std::uint64_t block_cache_bytes = 32u << 20;    ///< LevelDB's, for all
  std::uint64_t open_generations_max = 16;        ///< kept open for reading
  std::uint64_t tables_bytes_max = 64u << 20;     ///< tables of contents of sealed generations in memory
  std::uint64_t group_commit_bytes = 4u << 20;    ///< of one synced write
  std::uint64_t pending_bytes_max = 256u << 20;   ///< waiting to be written; further: overloaded
  std::uint64_t empty_below_percent = 10;         ///< a generation with less that is live is emptied
  std::uint64_t disk_free_min = 1ull << 30;       ///< below it publishing is refused
  std::uint64_t tail_bytes_max = 64u << 20;       ///< newest entries kept in memory, all partitions
  milliseconds request_timeout{30'000};           ///< of one write or read
};

struct delivery_limits {
  milliseconds lease{30'000};                     ///< default of a new group, as the next five
  std::uint64_t attempts_max = 16;
  milliseconds delay{1'000};
  double factor = 2.0;
  milliseconds delay_max{300'000};
  double jitter = 0.1;
  std::uint64_t settled_ranges_max = 100'000;     ///< per group and partition; beyond: no credit, alarm
  std::uint64_t waiting_max = 1'000'000;          ///< messages with attempts, per group and partition
  std::uint64_t groups_max = 1'000;               ///< per partition
  std::uint64_t consumers_max = 10'000;           ///< per group and partition
  std::uint64_t reason_bytes_max = 1'024;         ///< of a nack; longer ones are cut, marked by '…'
  std::uint64_t credit_messages_max = 100'000;    ///< of one consumer
  std::uint64_t credit_bytes_max = 256u << 20;
  milliseconds lease_max{24 * 3'600'000};
};

struct producer_limits {
  std::uint64_t producers_max = 10'000;           ///< remembered per partition; beyond: the oldest goes
  std::uint64_t remembered_batches = 1'024;       ///< per producer and partition
  milliseconds age_max{7 * 24 * 3'600'000};       ///< unused for so long: forgotten
};

struct partition_limits {
  std::uint64_t topics_max = 10'000;
  std::uint64_t partitions_max = 10'000;          ///< of one topic
  std::uint64_t partitions_total_max = 50'000;    ///< of one node
  std::uint64_t waiting_max = 100'000;            ///< requests of one partition not yet committed
  std::uint64_t checkpoint_bytes = 64u << 20;     ///< log written since the last checkpoint
  milliseconds checkpoint_interval{10'000};
};

struct supervision_limits {
  std::uint64_t restarts_max = 5;                 ///< failures of a child within the next span; then
  milliseconds restarts_within{60'000};           ///< the parent fails in its turn
};

struct limits {
  net_limits net;
  storage_limits storage;
  delivery_limits delivery;
  producer_limits producers;
  partition_limits partitions;
  supervision_limits supervision;
};

} // namespace waybill
