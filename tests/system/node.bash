# A node for a test in a directory of its own, ended with the test. To be sourced by bash.
# Sets `work`, the test's directory, and with `start_node` also `server` and `node_pid`.
# shellcheck shell=bash

work=$(mktemp -d "${TMPDIR:-/tmp}/waybill-test.XXXXXX")
node_pid=

finish() {
  local status=$?
  if [[ -n $node_pid ]]; then
    kill -KILL "$node_pid" 2> /dev/null || true
    wait "$node_pid" 2> /dev/null || true
  fi
  if ((status != 0)) && [[ -f $work/node.log ]]; then
    echo "The end of the node's log:" >&2
    tail -n 40 "$work/node.log" >&2
  fi
  rm -rf "$work"
}
trap finish EXIT

# start_node WAYBILLD [FLAG…]: returns once it serves. The first time on a port that the system
# picks, later on the same one.
start_node() {
  local program=$1 before i
  shift
  touch "$work/node.log"
  before=$(wc -l < "$work/node.log")
  "$program" --node.data-dir="$work/data" --net.listen="${server:-127.0.0.1:0}" "$@" \
    >> "$work/node.log" 2>&1 &
  node_pid=$!
  for ((i = 0; i < 600; ++i)); do
    server=$(tail -n +$((before + 1)) "$work/node.log" |
      sed -n 's/.* serves \(127\.0\.0\.1:[0-9]*\) .*/\1/p' | head -n 1)
    [[ -n $server ]] && return
    kill -0 "$node_pid" 2> /dev/null || break
    sleep 0.1
  done
  echo "the node did not start" >&2
  exit 1
}

# A clean stop, which must end well.
stop_node() {
  kill -TERM "$node_pid"
  wait "$node_pid" || { echo "the node ended with status $?" >&2; exit 1; }
  node_pid=
}

# expect WORDS WANTED FOUND
expect() {
  if [[ $2 != "$3" ]]; then
    printf 'expected %s:\n%s\nbut found:\n%s\n' "$1" "$2" "$3" >&2
    exit 1
  fi
}
