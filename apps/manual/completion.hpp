// What lets a shell complete a program's commands, options and their values.
#pragma once

#include "apps/manual/description.hpp"

namespace waybill::manual {

/// To be sourced by bash, alone or by the package bash-completion.
[[nodiscard]] std::string bash_completion(const described_program& program);
/// An autoloaded function of zsh's completion system (zshcompsys(1)).
[[nodiscard]] std::string zsh_completion(const described_program& program);

} // namespace waybill::manual
