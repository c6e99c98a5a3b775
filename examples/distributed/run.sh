#!/usr/bin/env bash
# A fleet on one machine: a Redis server, two orchestrators and six agents, each a process of its own. Half
# way the orchestrator that leads and two agents that are at work are killed with `kill -9`. Nothing is
# restarted, and the job is done all the same.
#
#   examples/distributed/run.sh              builds `downbeat`, or
#   DOWNBEAT=path/to/downbeat examples/distributed/run.sh
#
# Everything lies in a directory that is removed at the end, with all processes. KEEP=1 keeps it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${DOWNBEAT:-}" ]; then
  cargo build --quiet --locked --package downbeat-cli --manifest-path "$here/../../Cargo.toml"
  DOWNBEAT=${CARGO_TARGET_DIR:-$here/../../target}/debug/downbeat
fi
place=$(mktemp -d "${TMPDIR:-/tmp}/downbeat-distributed.XXXXXX")
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ -n "${KEEP:-}" ]; then echo "everything is in $place"; else rm -rf "$place"; fi
}
trap cleanup EXIT
cp "$here/INSTRUCTIONS.md" "$place"
cd "$place"
say() { printf '\n== %s\n' "$*"; }

server=${REDIS_SERVER:-$(command -v redis-server || command -v valkey-server || true)}
[ -n "$server" ] || { echo "error: redis-server is missing (Debian: apt-get install redis-server)" >&2; exit 2; }
say "a Redis server on a socket of its own, with an append-only file"
"$server" --port 0 --unixsocket "$place/redis.sock" --save "" --appendonly yes --dir "$place" > redis.log 2>&1 &
pids+=($!)
for _ in $(seq 100); do [ -S redis.sock ] && break; sleep 0.05; done

# What a fleet sets on every host: where the state lies. The ttls are short because this is a demonstration:
# a dead agent's task is free after two seconds instead of thirty.
export DOWNBEAT_CACHE=redis+unix://$place/redis.sock
export DOWNBEAT_LEASE_TTL=2s DOWNBEAT_AGENT_TTL=2s DOWNBEAT_LEADER_TTL=2s

say "two orchestrators: one leads, the other stands by"
declare -A orchestrators agents
for name in one two; do
  "$DOWNBEAT" orchestrator > "orchestrator-$name.out" 2> "orchestrator-$name.log" &
  orchestrators[$name]=$!
  pids+=($!)
done

say "six agents"
for number in 1 2 3 4 5 6; do
  "$DOWNBEAT" agent --name "counter-$number" > /dev/null 2> "counter-$number.log" &
  agents[counter-$number]=$!
  pids+=($!)
done

# Reads what happens, as it happens, until twelve tasks are done.
{ "$DOWNBEAT" events --follow --json --kind task.done || true; } | head -n 12 > /dev/null
say "half way"
"$DOWNBEAT" status
leader=$("$DOWNBEAT" status --json | sed -n 's/^ *"name": ".*:\([0-9]*\)",$/\1/p' | tail -n 1)
survivor=
for name in one two; do
  if [ "${orchestrators[$name]}" = "$leader" ]; then say "kill -9: orchestrator $name, which leads"; else survivor=$name; fi
done
say "kill -9: counter-1 and counter-2"
kill -9 "$leader" "${agents[counter-1]}" "${agents[counter-2]}"
# The shell would tell of their end.
wait "$leader" "${agents[counter-1]}" "${agents[counter-2]}" 2> /dev/null || true

say "the other orchestrator leads, the dead agents' tasks are done by others"
code=0
wait "${orchestrators[$survivor]}" || code=$?
cat "orchestrator-$survivor.out"
for number in 3 4 5 6; do wait "${agents[counter-$number]}"; done

say "what happened, besides what was planned"
"$DOWNBEAT" events --kind orchestrator --kind agent.silent --kind agent.terminated --kind task.expired \
  --kind task.released --kind goal

done=$("$DOWNBEAT" events --json --kind task.done | grep -c .)
say "the answer: $(cat out/total.txt) primes; $done of 29 tasks were done, each once"
[ "$code" = 0 ] && [ "$(cat out/total.txt)" = 2668 ] && [ "$done" = 29 ]
