// Only zstd's stable interface, and each call with a bound on what it writes.
#include "storage/compression.hpp"

#include "storage/assert.hpp"

#include <zstd.h>

#include <cstring>

namespace waybill {

namespace {

/// As zstd writes it: little-endian, like the segment count of a flat array.
constexpr std::string_view magic{"\x28\xb5\x2f\xfd", 4};

failure malformed(const std::string& why) {
  return {ec::malformed_batch, "the batch is compressed, and " + why};
}

/// How many bytes it will have. @errors as `decompress_batch`, but for damage behind the header
result<std::size_t> declared_bytes(std::string_view batch, std::size_t bytes_max) {
  const auto declared = ZSTD_getFrameContentSize(batch.data(), batch.size());
  if (declared == ZSTD_CONTENTSIZE_ERROR)
    return malformed("its frame ends within its header or has a header that zstd does not know");
  if (declared == ZSTD_CONTENTSIZE_UNKNOWN)
    return malformed("its frame does not say how many bytes it holds: compress the batch in one "
                     "piece, with its content size");
  if (ZSTD_getDictID_fromFrame(batch.data(), batch.size()) != 0)
    return malformed("its frame needs a dictionary: compress without one");
  if (declared > bytes_max)
    return failure{ec::batch_too_large,
                   "the batch has " + std::to_string(declared) +
                       " bytes when it is decompressed, more than net.batch-bytes-max (" +
                       std::to_string(bytes_max) + ") allows: send fewer messages in one"};
  const auto whole = ZSTD_findFrameCompressedSize(batch.data(), batch.size());
  if (ZSTD_isError(whole) != 0)
    return malformed(std::string{"its frame is cut short or damaged: "} + ZSTD_getErrorName(whole));
  if (whole != batch.size())
    return malformed("there are " + std::to_string(batch.size() - whole) +
                     " bytes behind its frame: a batch is one frame and nothing else");
  return static_cast<std::size_t>(declared);
}

} // namespace

bool is_compressed(std::string_view batch) noexcept { return batch.starts_with(magic); }

std::size_t plain_bytes_of(std::string_view batch) noexcept {
  if (!is_compressed(batch))
    return batch.size();
  const auto declared = ZSTD_getFrameContentSize(batch.data(), batch.size());
  WAYBILL_ASSERT(declared <= batch_bytes_most); // neither of the two marks for "none" is
  return static_cast<std::size_t>(declared);
}

result<std::string> decompress_batch(std::string_view batch, std::size_t bytes_max) {
  WAYBILL_ASSERT(is_compressed(batch));
  const auto bytes = declared_bytes(batch, bytes_max);
  if (!bytes)
    return bytes.error();
  std::string plain(*bytes, '\0');
  const auto found = ZSTD_decompress(plain.data(), plain.size(), batch.data(), batch.size());
  if (ZSTD_isError(found) != 0)
    return malformed(std::string{"its frame is damaged: "} + ZSTD_getErrorName(found));
  if (found != plain.size())
    return malformed("its frame holds " + std::to_string(found) + " bytes and declares " +
                     std::to_string(plain.size()));
  return plain;
}

result<shared_bytes> plain_batch(const shared_bytes& batch) {
  if (!is_compressed(batch.view()))
    return batch;
  auto plain = decompress_batch(batch.view(), batch_bytes_most);
  if (!plain)
    return failure{ec::damaged, plain.error().detail};
  return shared_bytes{*std::move(plain)};
}

struct batch_compressor::impl {
  ZSTD_CCtx* context = nullptr;
  impl() : context{ZSTD_createCCtx()} {}
  ~impl() { ZSTD_freeCCtx(context); }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
};

batch_compressor::batch_compressor(int level) : impl_{std::make_unique<impl>()} {
  WAYBILL_ASSERT(level >= compression_level_min && level <= compression_level_max);
  WAYBILL_ASSERT(impl_->context);
  const auto level_set = ZSTD_CCtx_setParameter(impl_->context, ZSTD_c_compressionLevel, level);
  // So that damage on the way is found by whoever decompresses.
  const auto checksum_set = ZSTD_CCtx_setParameter(impl_->context, ZSTD_c_checksumFlag, 1);
  WAYBILL_ASSERT(ZSTD_isError(level_set) == 0 && ZSTD_isError(checksum_set) == 0);
}

batch_compressor::~batch_compressor() = default;

std::optional<std::string> batch_compressor::compress(std::string_view batch) {
  // Room for less than the batch: what does not fit is of no use, and zstd says so.
  std::string frame(batch.empty() ? 0 : batch.size() - 1, '\0');
  const auto bytes =
      ZSTD_compress2(impl_->context, frame.data(), frame.size(), batch.data(), batch.size());
  if (ZSTD_isError(bytes) != 0)
    return std::nullopt;
  frame.resize(bytes);
  frame.shrink_to_fit();
  return frame;
}

} // namespace waybill
