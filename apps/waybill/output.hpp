// Writing bytes out so that the caller knows how many went: to pipes whose reader may leave, and
// without getting stuck when a stop is asked for.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace waybill::cli {

enum class write_end {
  whole,       ///< all bytes were taken
  reader_gone, ///< EPIPE
  stopped,     ///< a stop was asked for while the reader took nothing
  failed       ///< any other error: `reason`
};
struct write_outcome {
  std::size_t bytes = 0; ///< that were taken, from the first on
  write_end end = write_end::whole;
  std::string reason;
};

/// Blocks until all is taken, unless `stop_fd` (-1: none) becomes readable while it has to wait.
[[nodiscard]] write_outcome write_out(int fd, std::string_view bytes, int stop_fd);

/// An answer that could not be written: what was asked for was not done.
struct output_error : std::runtime_error {
  using runtime_error::runtime_error;
};
/// Writes an answer to standard output. @throws output_error
void print(std::string_view text);

/// A file that is written line by line, each call handed to the system before it returns.
class output_file {
public:
  enum class opening { anew, go_on };
  /// @throws output_error
  output_file(std::string path, opening how);
  output_file(const output_file&) = delete;
  output_file& operator=(const output_file&) = delete;
  ~output_file();
  /// @throws output_error
  void write(std::string_view bytes);

private:
  std::string path_;
  int fd_ = -1;
};

} // namespace waybill::cli
