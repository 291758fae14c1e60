// Compressed batches: what stands in the place of a serialised `Batch` when its producer asked for
// it. One whole frame of zstd around those bytes, with their number in its header, of no
// dictionary. A node checks it, and then stores and delivers it as it came. Source: docs/format.md,
// section 5.
#pragma once

#include "storage/error.hpp"
#include "storage/types.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace waybill {

/// The most bytes that any node takes as one batch, and so that any becomes when decompressed: the
/// upper end of what `net.batch-bytes-max` may be.
inline constexpr std::size_t batch_bytes_most = 32u << 20;

/// zstd's levels, from the fastest to the smallest result. Beyond them it needs memory without a
/// bound of ours at the producer.
inline constexpr int compression_level_min = 1;
inline constexpr int compression_level_max = 19;

/// Whether a batch is compressed: then it begins with zstd's magic number, and a plain one begins
/// with how many segments it has, which are never so many.
[[nodiscard]] bool is_compressed(std::string_view batch) noexcept;
/// Bytes of the batch once it is plain: of a compressed one, what its frame declares.
/// @pre it was checked (`decompress_batch`), or is plain
[[nodiscard]] std::size_t plain_bytes_of(std::string_view batch) noexcept;
/// The plain batch in a compressed one. Nothing is allocated before the declared size is known to
/// be `bytes_max` at most, and nothing beyond that size.
/// @errors `malformed_batch`: no whole frame and that alone, no declared size, a dictionary, or
/// damage; `batch_too_large`: beyond `bytes_max`, named as net.batch-bytes-max
/// @pre `is_compressed(batch)`
[[nodiscard]] result<std::string> decompress_batch(std::string_view batch, std::size_t bytes_max);
/// A batch that was checked on arrival, so that its messages can be read: as it is, or
/// decompressed.
/// @errors `damaged`
[[nodiscard]] result<shared_bytes> plain_batch(const shared_bytes& batch);

/// Compresses batches, one after the other; keeps its working memory (some MiB, by level) between
/// them. One thread at a time.
class batch_compressor {
public:
  /// @pre the level is one of the range above
  explicit batch_compressor(int level);
  ~batch_compressor();
  batch_compressor(const batch_compressor&) = delete;
  batch_compressor& operator=(const batch_compressor&) = delete;
  /// The frame; nothing when it would not be smaller than the batch.
  [[nodiscard]] std::optional<std::string> compress(std::string_view batch);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace waybill
