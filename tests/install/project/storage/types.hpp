// A header of the user's, by a name that one of Waybill's has too.
#pragma once

namespace user {
constexpr const char* greeting = "two boxes";
}
