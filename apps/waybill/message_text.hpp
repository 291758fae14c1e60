// A delivered message as `consume` writes it.
#pragma once

#include "apps/waybill/json.hpp"
#include "net/client/client.hpp"

#include <string>

namespace waybill::cli {

/// `{"name": text}`, or `{"name_base64": …}` for bytes that are not UTF-8.
void put_bytes(json& object, const std::string& name, const std::string& bytes);
[[nodiscard]] json headers_json(const headers& all);
/// id, key, headers, attempt, published, body; with its newline.
[[nodiscard]] std::string json_text(const message& m);

} // namespace waybill::cli
