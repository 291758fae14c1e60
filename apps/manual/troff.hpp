// Writes a manual page in troff's man macros (groff_man(7)): all that has a meaning to troff is
// escaped, so that a page shows the text that it was given.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace waybill::manual {

/// For a line of text: letters that troff would take for something else, escaped.
[[nodiscard]] std::string escaped(std::string_view text);
/// In the page's face for what is typed as it stands.
[[nodiscard]] std::string bold(std::string_view text);
/// In the page's face for what something else is put in the place of.
[[nodiscard]] std::string italic(std::string_view text);

class man_page {
public:
  /// @param name of the page, `waybill-topic`
  man_page(const std::string& name, const std::string& section, const std::string& version);
  void heading(std::string_view title);
  void subheading(std::string_view title);
  /// `formatted` is troff already, one line.
  void line(const std::string& formatted);
  void line_break();
  /// A new paragraph; what stands between `` ` `` is shown as it is typed.
  void paragraph(std::string_view text);
  /// Lines that keep their spaces and ends.
  void verbatim(const std::vector<std::string>& lines);
  /// What `formatted` names, and below it, indented, what `text` and `more` say of it.
  void item(const std::string& formatted, std::string_view text,
            const std::vector<std::string>& more = {});
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
  std::string text_;
};

/// A text of the help, taken apart: paragraphs and lines that are indented, in their order;
/// examples; what the exit statuses mean.
struct prose {
  struct piece {
    std::string paragraph;          ///< empty: the lines count
    std::vector<std::string> lines; ///< their indentation taken off
  };
  std::vector<piece> pieces;
  std::vector<std::string> examples;
  std::string exit_status;
};
[[nodiscard]] prose read_prose(std::string_view text);

} // namespace waybill::manual
