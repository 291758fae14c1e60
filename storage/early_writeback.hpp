// Has the disk begin with a table while LevelDB still writes it: an Env between LevelDB and the
// real file system.
//
// A table is written in one go and synced at its end. Left to itself the kernel keeps it all in
// memory until then, and starts with the whole of it at once; a journal's `fdatasync` that comes
// meanwhile waits behind it. Begun in pieces, what is left for the end is one piece. What is
// synced, and when, does not change: this only asks for what the sync would do anyhow.
#pragma once

#include <cstdint>
#include <memory>

namespace leveldb {
class Env;
}

namespace waybill {

/// How much of a table is handed to the disk at a time. Measured: docs/performance.md.
inline constexpr std::uint64_t writeback_piece_bytes = 512u << 10;

/// @param below LevelDB's default Env; outlives what is returned
[[nodiscard]] std::unique_ptr<leveldb::Env> early_writeback(leveldb::Env* below);

} // namespace waybill
