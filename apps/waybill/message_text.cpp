// See message_text.hpp.
#include "apps/waybill/message_text.hpp"

#include "apps/waybill/text.hpp"

namespace waybill::cli {

void put_bytes(json& object, const std::string& name, const std::string& bytes) {
  if (is_utf8(bytes))
    object[name] = bytes;
  else
    object[name + "_base64"] = base64(bytes);
}

json headers_json(const headers& all) {
  json list = json::array();
  for (const auto& [name, value] : all) {
    json one{{"name", name}};
    put_bytes(one, "value", value);
    list.push_back(std::move(one));
  }
  return list;
}

std::string json_text(const message& m) {
  json object{{"id", m.id()}};
  put_bytes(object, "key", m.key());
  object["headers"] = headers_json(m.headers());
  object["attempt"] = m.attempt();
  object["published"] = iso_time(m.published());
  put_bytes(object, "body", m.body());
  return json_line(object);
}

} // namespace waybill::cli
