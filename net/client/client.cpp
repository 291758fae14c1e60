// The client's public face: opens producers and consumers. Administration: admin.cpp.
#include "net/client/client_impl.hpp"
#include "net/client/producer_impl.hpp"

#include <utility>

namespace waybill {

namespace {

std::vector<client_parts::server_address> servers_of(const std::string& text) {
  auto parsed = client_parts::parse_servers(text);
  if (!parsed)
    throw client_error{parsed.error()};
  return *std::move(parsed);
}

client_options sane(client_options o) {
  o.connect_timeout = std::max(o.connect_timeout, milliseconds{1});
  o.call_timeout = std::max(o.call_timeout, milliseconds{1});
  return o;
}

} // namespace

client::client(std::string servers, client_options options) : impl_{std::make_shared<impl>()} {
  impl_->core = std::make_shared<client_parts::core>(servers_of(servers), sane(std::move(options)));
  impl_->line = std::make_shared<client_parts::lifeline>(impl_->core);
}

client::client(client&&) noexcept = default;
client::~client() = default;

producer client::producer(const std::string& topic, producer_options options) {
  return waybill::producer{
      producer::impl::open(impl_->core, impl_->line, topic, std::move(options))};
}

consumer client::subscribe(const std::string& topic, const std::string& group,
                           consume_options options) {
  return waybill::consumer{
      consumer::impl::open(impl_->core, impl_->line, topic, group, std::move(options))};
}

void client::stop() {
  const std::lock_guard lock{impl_->mutex};
  impl_->is_stopped = true;
  for (const auto& each : impl_->consuming)
    each->interrupt();
}

} // namespace waybill
