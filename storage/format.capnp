# The bytes of batches, of records and of checkpoints: what clients send is what lies on the disk.
# A field's number is for ever. docs/format.md tells where these stand on the disk.
@0xc3f0f2b8a4d91e67;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("waybill::format");

struct Header {
  name @0 :Text;
  value @1 :Data;
}

struct Message {
  # One message. Key, headers and body together are `net.message-bytes-max` at most.
  key @0 :Data;       # chooses the partition; empty: none
  headers @1 :List(Header);
  body @2 :Data;
}

struct Batch {
  # What a producer sends as one entry of the log: 1 to `net.batch-messages-max` messages. In its place
  # may stand one frame of zstd that holds it.
  messages @0 :List(Message);
  times @1 :List(MessageTimes);   # of those messages that have any; positions ascend
}

struct MessageTimes {
  # When a message may be delivered, and until when. Of each pair one at most is set (0: not set); spans
  # run from the stamp of the message's entry, so that the node's clock decides and not the producer's.
  position @0 :UInt32;   # in `messages`
  deliverAt @1 :Int64;   # not delivered before
  delayMs @2 :UInt64;
  expires @3 :Int64;     # not delivered from here on: then a dead letter, why 5
  ttlMs @4 :UInt64;
}

struct OffsetRange {
  first @0 :UInt64;   # half open: [first, end)
  end @1 :UInt64;
}

struct AttemptStarted {
  offset @0 :UInt64;
  attempt @1 :UInt32;
}

struct AttemptFailed {
  offset @0 :UInt64;
  attempt @1 :UInt32;
  why @2 :UInt8;      # 1 nack, 2 lease expired, 3 disconnected, 4 leader changed, 5 expired
  reason @3 :Text;
  consumer @4 :Text;
  firstDelivered @5 :Int64;  # milliseconds since 1970 UTC, as every time here
  notBefore @6 :Int64;
}

struct DeadLetter {
  offset @0 :UInt64;
  attempts @1 :UInt32;
  why @2 :UInt8;
  reason @3 :Text;
  consumer @4 :Text;
  firstDelivered @5 :Int64;
  published @6 :Int64;
  died @7 :Int64;
  message @8 :Data;   # a serialised Message
}

struct GroupChanges {
  group @0 :Text;
  acked @1 :List(OffsetRange);
  started @2 :List(AttemptStarted);
  failed @3 :List(AttemptFailed);
  dead @4 :List(DeadLetter);
}

struct DeliveryRecord {
  groups @0 :List(GroupChanges);
}

struct Policy {
  leaseMs @0 :UInt64;
  attemptsMax @1 :UInt32;
  delayMs @2 :UInt64;
  factor @3 :Float64;
  delayMaxMs @4 :UInt64;
  jitter @5 :Float64;
  ordered @6 :Bool;
}

struct GroupRecord {
  action @0 :UInt8;   # 1 create, 2 update, 3 remove, 4 seek
  group @1 :Text;
  policy @2 :Policy;
  start @3 :UInt64;
}

struct ProducerRecord {
  producer @0 :Text;
  opened @1 :UInt64;
  instance @2 :UInt64;
}

struct RedriveRecord {
  group @0 :Text;
  deadLetters @1 :List(UInt64);
  batch @2 :Data;     # a serialised Batch; empty: the dead letters are purged
}

struct RetentionRecord {
  droppedBelow @0 :UInt64;   # what lies before goes, read or not
  keeps @1 :Bool;            # whether from `keptFrom` on settled messages stay
  keptFrom @2 :UInt64;
}

struct Transfer {
  # Dead letters on their way to a partition, of another topic or of their own.
  begun @0 :UInt64;   # the index of the entry that began it; 0 in that entry
  deadLetters @1 :List(UInt64);   # ascending
  topicId @2 :UInt64; # the target
  partition @3 :UInt32;
  topic @4 :Text;
  opened @5 :UInt64;  # the opening of the producer there that may send the batch
  number @6 :UInt64;
  previous @7 :UInt64;
  hashHigh @8 :UInt64;    # of the batch's bytes
  hashLow @9 :UInt64;
  inDoubt @10 :Bool;
  doubt @11 :Text;    # why nobody knows whether it arrived
}

struct TransferRecord {
  action @0 :UInt8;   # 1 begin, 2 done, 3 abandon, 4 doubt
  group @1 :Text;
  begun @2 :UInt64;   # but for begin: the index of that entry
  what @3 :Transfer;  # for begin
  first @4 :UInt64;   # for done: the first message's offset in the target
  entry @5 :Position; # for done: the entry there
  reason @6 :Text;    # for abandon and doubt
}

struct Position {
  index @0 :UInt64;
  epoch @1 :UInt64;
  hashHigh @2 :UInt64;
  hashLow @3 :UInt64;
}

struct RememberedBatch {
  number @0 :UInt64;
  hashHigh @1 :UInt64;
  hashLow @2 :UInt64;
  entry @3 :Position;
  firstOffset @4 :UInt64;
  messageCount @5 :UInt32;
}

struct ProducerState {
  producer @0 :Text;
  opened @1 :UInt64;
  instance @2 :UInt64;
  lastUsed @3 :Int64;
  last @4 :UInt64;
  batches @5 :List(RememberedBatch);
}

struct AttemptsState {
  offset @0 :UInt64;
  failed @1 :UInt32;
  started @2 :UInt32;
  why @3 :UInt8;
  reason @4 :Text;
  consumer @5 :Text;
  firstDelivered @6 :Int64;
  notBefore @7 :Int64;
}

struct DeadLetterHeld {
  offset @0 :UInt64;
  died @1 :Int64;
}

struct GroupCounts {
  arrived @0 :UInt64;
  acked @1 :UInt64;
  dead @2 :UInt64;
  redriven @3 :UInt64;
  purged @4 :UInt64;
  forOthers @5 :UInt64;
  expired @6 :UInt64;   # of `dead`
  skipped @7 :UInt64;
  reopened @8 :UInt64;
  droppedUnread @9 :UInt64;
}

struct GroupState {
  group @0 :Text;
  policy @1 :Policy;
  start @2 :UInt64;
  floor @3 :UInt64;
  settled @4 :List(OffsetRange);
  attempts @5 :List(AttemptsState);
  deadLetters @6 :List(DeadLetterHeld);
  counts @7 :GroupCounts;
  transfers @8 :List(Transfer);   # ascending by `begun`
}

struct AddressedRange {
  offsets @0 :OffsetRange;
  group @1 :Text;
}

struct TimedMessage {
  offset @0 :UInt64;
  notBefore @1 :Int64;   # 0: none
  expires @2 :Int64;     # 0: none
}

struct Mark {
  # How much was published before this offset, as encoded entries, and the stamp of the last of them.
  offset @0 :UInt64;
  bytesBefore @1 :UInt64;
  stampedBefore @2 :Int64;
}

struct PartitionState {
  # A partition's replicated state after the entry `at`: what a checkpoint holds.
  at @0 :Position;
  nextOffset @1 :UInt64;
  lastStamp @2 :Int64;
  confirmed @3 :UInt64;
  producers @4 :List(ProducerState);
  groups @5 :List(GroupState);
  addressed @6 :List(AddressedRange);
  settledByAll @7 :List(OffsetRange);
  timed @8 :List(TimedMessage);   # that some group may still get; offsets ascend
  keeps @9 :Bool;                 # as in RetentionRecord
  keptFrom @10 :UInt64;
  published @11 :Mark;            # as if the log's end were a mark
  marks @12 :List(Mark);          # a few, offsets ascend
}
