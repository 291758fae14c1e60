// Between the contract's structs and what actors say: field by field, nothing decided here.
#pragma once

#include "actors/messages.hpp"
#include "net/waybill.capnp.h"

namespace waybill::rpc {

void write(wire::Error::Builder to, const failure& from);
void write(wire::Position::Builder to, const log_position& from);
[[nodiscard]] log_position read(wire::Position::Reader from);
[[nodiscard]] std::vector<offset_range> read(capnp::List<wire::Range>::Reader from);

void write(wire::Done::Builder to, const client_answer& from);
void write(wire::PublishOutcome::Builder to, const client_answer& from);
void write(wire::SettleOutcome::Builder to, const client_answer& from);
void write(wire::TopicOutcome::Builder to, const client_answer& from, const std::string& node);
void write(wire::TopicsOutcome::Builder to, const client_answer& from, const std::string& node);
void write(wire::GroupsOutcome::Builder to, const client_answer& from);
void write(wire::DeadLettersOutcome::Builder to, const client_answer& from, std::uint32_t partition,
           bool with_bodies);
void write(wire::SeekOutcome::Builder to, const client_answer& from);
void write(wire::RedriveOutcome::Builder to, const client_answer& from);
void write(wire::AuditOutcome::Builder to, const client_answer& from);
void write(wire::VerifyOutcome::Builder to, const client_answer& from);
void write(wire::AlarmsOutcome::Builder to, const client_answer& from);
void write(wire::NodeStatsOutcome::Builder to, const client_answer& from);
/// Chunks [first, end) of one delivery.
void write(capnp::List<wire::Chunk>::Builder to, const chunk* first);
[[nodiscard]] policy_update read(wire::Policy::Reader from);
[[nodiscard]] retention_update read(wire::Retention::Reader from);
[[nodiscard]] seek_target read(wire::SeekTarget::Reader from);

/// The text as a string; capnp gives it with its length.
[[nodiscard]] inline std::string read(capnp::Text::Reader from) {
  return {from.cStr(), from.size()};
}

} // namespace waybill::rpc
