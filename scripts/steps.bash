# What ./check and ./quickstart share: how a step is announced, run, timed and, when it fails, shown.
# To be sourced by bash, by a script that has set `steps_name`, its own name, and `steps_logs`, a
# directory for the logs.
# shellcheck shell=bash disable=SC2154

on_terminal=false
[[ -t 1 ]] && on_terminal=true

fail() {
  echo "$steps_name: $*" >&2
  exit 1
}

# step WORDS COMMAND…: one line before, one after; the command's output goes to a log, and is shown
# when it fails. In a pipe a line each minute says that the step still runs.
step() {
  local words=$1 log started=$SECONDS pid
  shift
  mkdir -p "$steps_logs"
  log=$steps_logs/$(tr -cs 'a-zA-Z0-9' '-' <<< "$words" | sed 's/^-*//; s/-*$//').log
  echo "== $words"
  "$@" > "$log" 2>&1 &
  pid=$!
  # A command in the background does not get the terminal's Ctrl-C: it is handed on.
  trap 'kill "$pid" 2> /dev/null; exit 130' INT TERM
  follow "$pid" "$log" "$started"
  if ! wait "$pid"; then
    show_failure "$log"
    fail "failed: $words. All of its output: $log"
  fi
  trap - INT TERM
  echo "   done in $((SECONDS - started)) s"
}

# Shows the last line of LOG while PID runs: at once on a terminal, each minute elsewhere.
follow() {
  local pid=$1 log=$2 started=$3 told=$SECONDS width last
  while kill -0 "$pid" 2> /dev/null; do
    sleep 0.5
    if $on_terminal; then
      width=$(tput cols 2> /dev/null || echo 80)
      last=$(tail -n 1 "$log" | tr -d '\r')
      printf '\r\033[K   %s' "${last:0:width-4}"
    elif ((SECONDS - told >= 60)); then
      told=$SECONDS
      last=$(tail -n 1 "$log")
      printf '   %d s: %s\n' $((SECONDS - started)) "${last:0:160}"
    fi
  done
  if $on_terminal; then printf '\r\033[K'; fi
}

# From the first failed command on, or the end when there is none.
show_failure() {
  if grep -q '^FAILED:' "$1"; then
    sed -n '/^FAILED:/,$p' "$1" | grep -v '^\[' | head -n 200 >&2
  else
    tail -n 60 "$1" >&2
  fi
}
