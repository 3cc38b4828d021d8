#!/usr/bin/env bash
# Load on `percept serve`, and on llama.cpp's server beside it: bash benches/serve.sh [RUN]
#
# RUN is a run or checkpoint; without it, an untrained llp-small (one step is trained, since the speed does not depend on what a model has
# learned). Prints tables in Markdown for docs/serving.md; on a machine that does nothing else.
#
#   PERCEPT=target/release/percept   the program; built where it is not there
#   FLAGS=                           more flags of percept serve, e.g. "--weights int8"
#   STREAMS=1,64  TOKENS=256         texts at once, and tokens of each
#   LONG=100000  LONG_STREAMS=16     characters of a long prompt that comes beside as many texts; 0: none
#   SOAK=1800  SOAK_CLIENTS=32       seconds of clients of all kinds; 0: none
#   SOAK_STATES=536870912            bytes of states that its server keeps
#   PYTHON=                          a Python with `gguf` and `xllamacpp` of PyPI: the same on llama.cpp's server, without the soak
#   LLAMA_LONG=$LONG                 its long prompt, which full attention reads slowly
#   LLAMA_TYPES="F32 Q8_0"           number formats of its weights
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; server=; }; }
trap 'stop; rm -rf "$work"' EXIT

percept=${PERCEPT:-target/release/percept}
[ -x "$percept" ] || cargo build --release --locked
cargo build --quiet --release --locked --manifest-path benches/Cargo.toml --bin load
load=benches/target/release/load
export CARGO_TERM_COLOR=never XDG_CACHE_HOME="$work/cache"

run=${1:-$work/llp-small}
if [ $# = 0 ]; then
  cat README.md docs/*.md >"$work/text.txt"
  "$percept" -q train llp-small --data "$work/text.txt" --run "$run" --steps 1 --set sample.tokens=0 --set train.batch=1 >&2
fi

serving() { # name, then the command of a server whose first line is a JSON object with its address
  local name=$1
  shift
  "$@" >"$work/listening" 2>"$work/log" &
  server=$!
  for _ in $(seq 600); do
    [ ! -s "$work/listening" ] || break
    kill -0 "$server" 2>/dev/null || { echo "error: $name does not start" >&2; tail -5 "$work/log" >&2; exit 3; }
    sleep 0.1
  done
  address=$(sed -n '1s/.*"address": *"\([^"]*\)".*/\1/p' "$work/listening")
  [ -n "$address" ] || { echo "error: $name says no address" >&2; exit 3; }
}
measured() { # model, streams, long prompt, more
  local model=$1 streams=$2 long=$3
  shift 3
  "$load" "$address" --model "$model" --pid "$server" --streams "$streams" --tokens "${TOKENS:-256}" --long "$long" \
    --long-streams "${LONG_STREAMS:-16}" "$@"
}
percept_server() { serving "percept serve" "$percept" --json serve "run=$run" --listen 127.0.0.1:0 ${FLAGS:-} "$@"; }

printf '## percept serve %s\n\n' "${FLAGS:-}"
printf '%s, %s cores\n\n' "$("$percept" --version)" "$(nproc)"
percept_server
measured run "${STREAMS:-1,64}" "${LONG:-100000}"
stop
if [ "${SOAK:-1800}" != 0 ]; then
  printf '\n## Soak\n'
  # A fresh one: what it holds at the end is the soak's. Its states are more than it may keep.
  percept_server --states "$work/states" --states-limit "${SOAK_STATES:-536870912}"
  "$load" "$address" --model run --pid "$server" --streams 0 --long 0 --tokens "${SOAK_TOKENS:-64}" --soak "${SOAK:-1800}" --soak-clients "${SOAK_CLIENTS:-32}" \
    || soak_failed=1
  grep -c '"event":"panic"\|panicked' "$work/log" >/dev/null && { echo "error: the server panicked" >&2; soak_failed=1; } || true
  stop
fi
if [ -n "${PYTHON:-}" ]; then
  for type in ${LLAMA_TYPES:-F32 Q8_0}; do
    printf "\n## llama.cpp's server (xllamacpp %s of PyPI), a Llama of the same size, %s\n\n" \
      "$("$PYTHON" -c 'import importlib.metadata as m; print(m.version("xllamacpp"))')" "$type"
    llama() { serving "llama.cpp" "$PYTHON" benches/llama_server.py "$work/$type.gguf" --type "$type" "$@"; }
    # Its own fields, so that no text ends before its time; a prompt that it has seen is read again.
    fields='{"ignore_eos": true, "cache_prompt": false}'
    llama
    measured model "${STREAMS:-1,64}" 0 --fields "$fields"
    stop
    if [ "${LLAMA_LONG:-${LONG:-100000}}" != 0 ]; then
      llama --unified # a part of the cache for each text would be too small
      measured model 0 "${LLAMA_LONG:-${LONG:-100000}}" --fields "$fields"
      stop
    fi
  done
fi
exit "${soak_failed:-0}"
