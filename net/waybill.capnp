# The contract between Waybill's nodes and their clients: Cap'n Proto RPC, level 1, over one TCP
# connection (7411 by default). The bootstrap capability is `Depot`.
#
# Rules that hold for every call:
# - What a caller must act on is data: each outcome is a union of `ok` and `error`. An RPC exception
#   means a fault of the peer or of the connection alone.
# - Whatever a peer can send has a bound; beyond it comes an error that names the bound, and nothing
#   else happens.
# - A call that got no answer may or may not have taken effect. Repeating it is safe: publishing is
#   de-duplicated by number, the others say what they found.
# - Capabilities are given out by `login` and by its session only, none by a callback. `close` is
#   explicit; dropping a capability or the connection works too, and counts as vanishing.
# - Times are milliseconds since 1970 UTC; spans are milliseconds; sizes are bytes.
@0xb1d5e3a97c20f486;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("waybill::wire");

const protocolVersion :UInt32 = 1;

enum ErrorCode {
  none @0;
  notLeader @1;
  overloaded @2;
  storageFailed @3;
  stopping @4;
  timedOut @5;
  diskFull @6;
  partitionOffline @7;
  unknownTopic @8;
  topicExists @9;
  unknownGroup @10;
  unknownPartition @11;
  badName @12;
  badArgument @13;
  messageTooLarge @14;
  batchTooLarge @15;
  malformedBatch @16;
  limitReached @17;
  fenced @18;
  numberReused @19;
  outOfOrder @20;
  tooOldToKnow @21;
  unknownProducer @22;
  leaseLost @23;
  notAllowed @24;
  damaged @25;
  directoryHeld @26;
  notFound @27;
  versionUnsupported @28;
  unreachable @29;
  internal @30;
  rejected @31;
  extensionFailed @32;
  underWay @33;       # the dead letter is on its way to another partition
  inDoubt @34;        # likewise, and nobody knows whether it arrived: a person decides
}

struct Error {
  code @0 :ErrorCode;
  retry @1 :Bool;     # whether the same call, later, may succeed
  detail @2 :Text;    # one sentence for people: what is wrong, where, what to do
}

struct Done {
  # The outcome of a call that has nothing to tell but whether it took effect.
  union {
    ok @0 :Void;
    error @1 :Error;
  }
}

struct Range {
  first @0 :UInt64;   # offsets [first, end)
  end @1 :UInt64;
}

struct Position {
  index @0 :UInt64;
  epoch @1 :UInt64;
  hashHigh @2 :UInt64;
  hashLow @3 :UInt64;
}

interface Depot {
  login @0 (user :Text, secret :Text, client :Text, version :UInt32) -> (outcome :LoginOutcome);
  # `client`: a name for logs, 128 bytes at most. `version`: protocolVersion.
  # `versionUnsupported` says which versions the node speaks.
}

struct LoginOutcome {
  union {
    ok :group {
      session @0 :Session;
      node @1 :Text;              # the node's name
      limits @2 :Limits;
      development @4 :Bool;       # a single node without a coordinator
    }
    error @3 :Error;
  }
}

struct Limits {
  # What this node takes; beyond it, it refuses.
  messageBytesMax @0 :UInt32;     # key, headers and body of one message
  batchBytesMax @1 :UInt32;       # a serialised Batch; of a compressed one, also what it becomes
  batchMessagesMax @2 :UInt32;
  inFlightMax @3 :UInt32;         # publish calls of one producer without an answer; further: overloaded
  rememberedBatches @4 :UInt32;   # per producer and partition: older repeats get tooOldToKnow
}

interface Session {
  # All that a logged-in client can do. Closing the connection closes everything opened here.

  openProducer @0 (topic :Text, name :Text, instance :UInt64, takeOver :Bool)
      -> (outcome :OpenProducerOutcome);
  # Opens the producer `name` on every partition of the topic and fences older holders of the name.
  # `instance`: random, one per client process and producer. `takeOver` true: become the holder;
  # false (a reconnect): only if `instance` is still the holder, else `fenced`.

  subscribe @1 (topic :Text, group :Text, consumer :Text, creditMessages :UInt32,
                creditBytes :UInt64, receiver :Receiver, acceptsCompressed :Bool = false)
      -> (outcome :SubscribeOutcome);
  # Joins a group, which is created (starting at the earliest message) if it does not exist.
  # `consumer`: a name for people. Credit: the most messages, and bytes of messages, that this
  # consumer holds unsettled at once; one message is sent whatever its size when none is held.
  # `acceptsCompressed`: chunks may carry batches as their producers compressed them. Else the node
  # decompresses them. Credit counts the bytes of messages as they are when decompressed, either way.

  createTopic @2 (name :Text, partitions :UInt32, retention :Retention) -> (outcome :Done);
  listTopics @3 () -> (outcome :TopicsOutcome);
  describeTopic @4 (name :Text) -> (outcome :TopicOutcome);
  deleteTopic @5 (name :Text) -> (outcome :Done);

  listGroups @6 (topic :Text) -> (outcome :GroupsOutcome);
  # With their state, per partition.
  setGroup @7 (topic :Text, group :Text, policy :Policy) -> (outcome :Done);
  # Creates the group if it does not exist.
  deleteGroup @8 (topic :Text, group :Text) -> (outcome :Done);

  listDeadLetters @9 (topic :Text, group :Text, partition :UInt32, from :UInt64, most :UInt32,
                      withBodies :Bool) -> (outcome :DeadLettersOutcome);
  # Of one partition, from offset `from` on, `most` (1,000 at most) and 4 MiB at most; `next` of the
  # answer goes on, `more` false ends it.
  redriveDeadLetters @10 (topic :Text, group :Text, partition :UInt32, offsets :List(UInt64))
      -> (outcome :RedriveOutcome);
  # Sends these (1,000 and 4 MiB at most a call) back to their group under new offsets, with headers
  # `waybill-original-id` and `waybill-redrives`. One entry: never in neither place, never in both.
  # Offsets that are no dead letters (any more) are passed over; those on their way to another partition
  # are left, with `underWay` or `inDoubt`.
  purgeDeadLetters @11 (topic :Text, group :Text, partition :UInt32, offsets :List(UInt64))
      -> (outcome :RedriveOutcome);

  audit @12 (topic :Text, partition :UInt32) -> (outcome :AuditOutcome);
  # Reads all that the partition's log holds, checks the chain, and compares with the books.
  verify @13 (topic :Text, partition :UInt32, offset :UInt64, entry :Position)
      -> (outcome :VerifyOutcome);

  transferDeadLetters @19 (topic :Text, group :Text, partition :UInt32, offsets :List(UInt64),
                           toTopic :Text, toPartition :Int64 = -1) -> (outcome :RedriveOutcome);
  # Sends these (1,000 and 4 MiB at most a call) to another topic or partition, as messages for all of its
  # groups, and then removes them. `toPartition` negative: each by its message's key, as a publish does. They
  # have the headers of a redrive, and `waybill-redriven-from`. Answers when it is known what became of each:
  # moved, or left with the reason. Whatever happens in between, none is lost and none arrives twice; one of
  # which nobody knows whether it arrived is left as `inDoubt`. A call that got no answer goes on all the
  # same: listDeadLetters tells of those that are under way.
  releaseDeadLetters @20 (topic :Text, group :Text, partition :UInt32, offsets :List(UInt64))
      -> (outcome :RedriveOutcome);
  # Gives up the transfers that these are in, under way or in doubt: all dead letters of those transfers (they
  # are `removed` in the answer) are ordinary ones again, whether or not they arrived.

  close @14 () -> ();

  seekGroup @16 (topic :Text, group :Text, partition :UInt32, target :SeekTarget) -> (outcome :SeekOutcome);
  # From `target` on the group reads (again). What lies before it and is not settled is skipped, and what it
  # had settled behind it is open again, but for: what every group had settled (it may be gone), what was
  # redriven for another group, and dead letters that are held. Leases on what is skipped end.
  alarms @17 (started :Int64, after :UInt64, waitMs :UInt64) -> (outcome :AlarmsOutcome);
  # The alarms that stand, and the news with higher numbers than `after`: each alarm that was raised or is
  # over. `started` and `after` are an earlier answer's `started` and `last`: then the answer comes with the
  # next news, or after `waitMs` (one minute at the most) without any. Zeros, or the numbers of another
  # process: at once, and with all that is remembered. Who follows asks again and again, one call at a time,
  # and simply ceases to. `overloaded`: too many wait.
  setTopic @18 (name :Text, retention :Retention) -> (outcome :Done);
  # Changes what is given; every partition goes by it at its next look.
  nodeStats @15 (resetMemoryPeak :Bool) -> (outcome :NodeStatsOutcome);
  # What the node's process has used and done since it started: two answers with the same `started`
  # tell what lies between them. `resetMemoryPeak`: for whoever asks later, `memoryPeakBytes` counts
  # from this answer on, where the node's system allows that.
}

# ---- Producers ----------------------------------------------------------------------------------

struct OpenProducerOutcome {
  union {
    ok :group {
      producer @0 :Producer;
      last @1 :List(UInt64);      # per partition: the highest batch number taken; 0: none
      lastMessages @3 :List(UInt32); # of those batches: how many messages; 0: not known
      outOfService @4 :List(OutOfService);
      # Partitions that cannot be served until somebody has acted: publishing to them is refused, and of
      # them `last` says nothing. The others are open.
    }
    error @2 :Error;
  }
}

struct OutOfService {
  partition @0 :UInt32;
  error @1 :Error;
}

interface Producer {
  publish @0 (partition :UInt32, number :UInt64, previous :UInt64, batch :Data)
      -> (outcome :PublishOutcome);
  # `batch`: a serialised Batch of storage/format.capnp, as one flat array; or that compressed: one frame
  # of zstd (it begins with 28 b5 2f fd, which no flat array does), with its content size in its header,
  # without a dictionary, and nothing behind it. It is stored, delivered and compared with repeats as
  # the bytes that came. `number` grows with every batch
  # of this producer to this partition, gaps allowed; `previous`: the number sent to this partition
  # before, or what `last` told. A repeat with the same number and bytes gets the first one's receipt.
  # The answer comes when the batch is committed.
  close @1 () -> ();
}

struct PublishOutcome {
  union {
    ok :group {
      firstOffset @0 :UInt64;     # the i-th message of the batch has offset firstOffset + i
      entry @1 :Position;
      repeated @2 :Bool;          # it was committed by an earlier send
    }
    error @3 :Error;
  }
}

# ---- Consumers ----------------------------------------------------------------------------------

struct SubscribeOutcome {
  union {
    ok :group {
      subscription @0 :Subscription;
      leaseMs @1 :UInt64;
      partitions @2 :UInt32;
    }
    error @3 :Error;
  }
}

interface Receiver {
  # What a consumer gives to `subscribe`.
  deliver @0 (chunks :List(Chunk)) -> ();
  # Answer at once; the work is settled by the subscription's calls. While 8 of these calls have no
  # answer no further one comes.
  ended @1 (error :Error) -> ();
  # The node ended the subscription (it stops, or the topic was deleted).
  leasesEnded @2 (partition :UInt32) -> ();
  # This partition's leader has ended, and with it every lease that the subscription had there. What
  # was delivered of it and not acknowledged comes again, here or elsewhere: do not begin to work on it.
  # The subscription goes on. A receiver without this method may work on such messages in vain.
}

struct Chunk {
  partition @0 :UInt32;
  batch @1 :Data;                 # a serialised Batch; compressed (see `publish`) only for who accepts it
  published @2 :Int64;
  deliveries @3 :List(Delivery);
}

struct Delivery {
  # One message of the chunk that is now leased to this consumer. Others in the batch are not.
  offset @0 :UInt64;
  position @1 :UInt32;            # its place in `batch`
  attempt @2 :UInt32;             # 1: the first delivery
}

interface Subscription {
  ack @0 (partition :UInt32, ranges :List(Range)) -> (outcome :SettleOutcome);
  # The work is done. The answer comes when that is committed: these are never delivered to the group
  # again. 10,000 ranges at most.
  nack @1 (partition :UInt32, offset :UInt64, delayMs :Int64, reason :Text)
      -> (outcome :SettleOutcome);
  # The work failed: counts an attempt; delayMs < 0: as the group's policy says.
  extend @2 (partition :UInt32, ranges :List(Range), leaseMs :UInt64) -> (outcome :SettleOutcome);
  # The lease runs for so long from now on; 0: the group's lease again. As with the delay of a nack,
  # longer than `delivery.lease-max`: badArgument.
  giveBack @3 (partition :UInt32, ranges :List(Range)) -> (outcome :SettleOutcome);
  # Not worked on: deliver to somebody else, no attempt is counted.
  setCredit @4 (messages :UInt32, bytes :UInt64) -> ();
  # From now on so much, as in `subscribe`. More than the node gives: an exception, and it stays as it
  # was.
  close @5 () -> ();
  # Gives back all that is held, uncounted; answers when done.
}

struct SettleOutcome {
  union {
    ok :group {
      lost @0 :List(Range);       # held by another consumer by now, or unknown: nothing was done
    }
    error @1 :Error;
  }
}

# ---- Administration -----------------------------------------------------------------------------

struct TopicInfo {
  name @0 :Text;
  id @1 :UInt64;
  created @2 :Int64;
  partitions @3 :List(PartitionInfo);
  retention @4 :Retention;
}

struct Retention {
  # How long messages stay, beside "until every group has settled them". 0: off, as for a new topic;
  # negative: leave as it is.
  keepMs @0 :Int64 = -1;          # so long they stay although every group has settled them
  ageMs @1 :Int64 = -1;           # after so long they go, read or not
  bytes @2 :Int64 = -1;           # with so much published behind them, in a partition, they go, read or not
}

struct PartitionInfo {
  number @0 :UInt32;
  state @1 :Text;                 # "leading", "recovering", "offline"
  detail @2 :Text;                # offline: why, and what to do
  leader @3 :Text;                # the node's name
  epoch @4 :UInt64;
  firstOffset @5 :UInt64;         # the oldest message that is held
  nextOffset @6 :UInt64;
  commit @7 :Position;
  groups @8 :UInt32;
  heldMessages @9 :UInt64;
}

struct TopicsOutcome {
  union {
    ok @0 :List(TopicInfo);
    error @1 :Error;
  }
}
struct TopicOutcome {
  union {
    ok @0 :TopicInfo;
    error @1 :Error;
  }
}

struct Policy {
  # Zero (for spans and counts) or negative (for factor and jitter): leave as it is.
  leaseMs @0 :UInt64;
  attemptsMax @1 :UInt32;
  delayMs @2 :Int64 = -1;         # negative: leave as it is
  factor @3 :Float64 = -1;
  delayMaxMs @4 :Int64 = -1;
  jitter @5 :Float64 = -1;
  ordered @6 :Int8 = -1;          # 1: one message of each key at a time, in order, and a key's messages to one
                                  # consumer; 0: not; negative: leave as it is
}

struct GroupInfo {
  name @0 :Text;
  policy @1 :Policy;
  partitions @2 :List(GroupPartitionInfo);
}

struct GroupPartitionInfo {
  partition @0 :UInt32;
  start @1 :UInt64;
  floor @2 :UInt64;
  ready @3 :UInt64;
  leased @4 :UInt64;
  delayed @5 :UInt64;
  acked @6 :UInt64;
  dead @7 :UInt64;                # dead letters held
  consumers @8 :UInt32;
  settledRanges @9 :UInt32;
  behind @10 :UInt64;             # of `ready`: behind another of their key (an ordered group)
}

struct GroupsOutcome {
  union {
    ok @0 :List(GroupInfo);
    error @1 :Error;
  }
}

struct SeekTarget {
  union {
    earliest @0 :Void;
    latest @1 :Void;              # behind the last message that is committed
    offset @2 :UInt64;
    time @3 :Int64;               # the first message that the node took at this time or later
  }
}

struct SeekOutcome {
  union {
    ok :group {
      offset @0 :UInt64;          # where that is
      skipped @1 :UInt64;         # messages
      reopened @2 :UInt64;
    }
    error @3 :Error;
  }
}

struct DeadLetterInfo {
  partition @0 :UInt32;
  offset @1 :UInt64;
  attempts @2 :UInt32;
  why @3 :Text;                   # "nack", "lease-expired", "disconnected", "leader-changed", "expired"
  reason @4 :Text;
  consumer @5 :Text;
  firstDelivered @6 :Int64;
  published @7 :Int64;
  died @8 :Int64;
  message @9 :Data;               # a serialised Message; empty unless asked for
  bytes @10 :UInt32;              # of that message
  transfer @11 :Text;             # "" (none), "under-way" or "in-doubt"
  transferTo @12 :Text;           # "topic/partition"
  transferWhy @13 :Text;          # in doubt: why
}

struct DeadLettersOutcome {
  union {
    ok :group {
      letters @0 :List(DeadLetterInfo);
      next @1 :UInt64;
      more @2 :Bool;
    }
    error @3 :Error;
  }
}

struct LeftLetter {
  offset @0 :UInt64;
  error @1 :Error;
}

struct RedriveOutcome {
  union {
    ok :group {
      removed @0 :List(UInt64);   # the dead letters that were redriven or purged
      offsets @1 :List(UInt64);   # redriven: the new offsets, in the same order
      partitions @3 :List(UInt32);  # transferred: the target's partitions that these are in
      left @4 :List(LeftLetter);  # those that stay, and why
    }
    error @2 :Error;
  }
}

struct AuditOutcome {
  union {
    ok @0 :PartitionBooks;
    error @1 :Error;
  }
}

struct PartitionBooks {
  partition @0 :UInt32;
  confirmed @1 :UInt64;           # counted when committed
  live @2 :UInt64;                # counted in the store, by reading it
  dropped @3 :UInt64;             # counted when dropped
  balances @4 :Bool;              # confirmed = live + dropped, no fault, and all groups balance
  faults @5 :List(Text);          # entries missing or damaged, each by name
  groups @6 :List(GroupBooks);
  entries @7 :UInt64;             # read and checked
  at @8 :Position;                # where the log stood
}

struct GroupBooks {
  group @0 :Text;
  arrived @1 :UInt64;             # + reopened = acked + ready + leased + delayed + dead + redriven + purged
                                  # + forOthers + skipped + droppedUnread
  acked @2 :UInt64;
  ready @3 :UInt64;               # counted from the store
  leased @4 :UInt64;
  delayed @5 :UInt64;
  dead @6 :UInt64;                # counted from the dead-letter store
  redriven @7 :UInt64;
  purged @8 :UInt64;
  forOthers @9 :UInt64;
  balances @10 :Bool;
  expired @11 :UInt64;            # of all that ever became dead letters: those whose time ran out
  skipped @12 :UInt64;            # settled by seeks forwards
  reopened @13 :UInt64;           # no longer settled after seeks backwards
  droppedUnread @14 :UInt64;      # settled because the topic's retention took them
}

struct VerifyOutcome {
  union {
    inLog @0 :Void;               # exactly this message is in the log
    dropped @1 :Void;             # its place was dropped after every group had settled it, or
                                  # retention had taken it unread
    different @2 :Text;           # another entry is there: the receipt is not of this log
    unknown @3 :Text;             # never seen here, or not known any more
    error @4 :Error;
  }
}

struct NodeStats {
  process @0 :UInt64;             # the id that the node's system gave the process
  machine @1 :Text;               # the random id of this boot of the node's system, where it has one
                                  # (Linux: boot_id): the caller's own means that both share a machine
  started @2 :Int64;
  cpuUserUs @3 :UInt64;           # processor time of all threads, in microseconds
  cpuSystemUs @4 :UInt64;
  memoryBytes @5 :UInt64;         # resident now; 0: not known
  memoryPeakBytes @6 :UInt64;     # the most since the start, or since a call that reset it
  syncs @7 :UInt64;               # calls of fdatasync and fsync by the store: journal, small store,
                                  # tables, directories
}

struct Alarm {
  name @0 :Text;                  # stable: "disk-full", "limit-near", …
  subject @1 :Text;               # what it is about: a partition, a group, a limit's key
  level @2 :Text;                 # "notice", "warning", "critical"
  detail @3 :Text;                # a sentence for people: what is so, or why it is over
  advice @4 :Text;                # a sentence for people: what to do
  since @5 :Int64;                # when it was raised
  at @6 :Int64;                   # when this was told
  raised @7 :Bool;                # false: it is over
  number @8 :UInt64;              # of this news
}

struct AlarmsOutcome {
  union {
    ok :group {
      started @0 :Int64;          # the node's process, whose numbers these are
      last @1 :UInt64;            # the number of its last news
      raised @2 :List(Alarm);     # all that stand, the longest first
      unlisted @3 :UInt64;        # that stand beyond 2,000
      changes @4 :List(Alarm);    # the news since, in order
      missed @5 :UInt64;          # news that are not remembered any more
    }
    error @6 :Error;
  }
}

struct NodeStatsOutcome {
  union {
    ok @0 :NodeStats;
    error @1 :Error;
  }
}
