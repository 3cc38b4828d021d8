#!/usr/bin/env bash
# Everything that needs a GPU, in one call and eight minutes: bash benches/gpu.sh [cuda|vulkan|cpu]
#
# Holds every kind of model to its contracts on the device, trains and generates there, times decoding and the training step of llp-paper, profiles
# that step, and compares the shape L with PyTorch under torch.compile in bf16. A table comes last. `cpu` shows that the script works, nothing more.
#
# The machine needs neither Rust nor a network where it gets the program. Built elsewhere (docs/scaling.md), with the tree beside it:
#
#   PERCEPT=FILE           the program, or the program as FILE.xz; by default percept or percept.xz in target/release; without any it is built here by cargo
#   CUDA_PATH=FOLDER       that of CUDA (only its libdevice is needed); looked for where it is not set
#   FIXTURES=FOLDER        also compare with recorded outputs of the authors' code (percept verify --fixtures)
#   TORCH_BASELINE=FILE    torch_baseline.py, whose model PyTorch trains; without it that comparison is left out
#   PYTHON=python3         a Python with PyTorch
#   SECONDS_MOST=480       time for all of it: what does not fit is left out, and said so
#   OUT=gpu-results        where results and logs go
#
# Exit code 1 where a check failed, 3 where something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-cuda}
case $kind in
  cuda | vulkan) device="$kind:0" precision=bf16 paper=llp-paper ;;
  cpu) device=cpu precision=f32 paper=llp-tiny ;;
  *) echo "usage: bash benches/gpu.sh [cuda|vulkan|cpu]" >&2; exit 2 ;;
esac
most=${SECONDS_MOST:-480}
out=${OUT:-gpu-results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
log="$out/log.txt" table="$out/table.txt"
: > "$log"
work=$(mktemp -d)
mkdir "$work/steps" "$work/profiled"
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache"
fail() { echo "$*" >&2; exit 3; }

# The program: given, unpacked, or built here.
find_program() {
  local given=${PERCEPT:-}
  if [ -z "$given" ]; then
    for candidate in target/release/percept target/release/percept.xz; do
      if [ -e "$candidate" ]; then given=$candidate; break; fi
    done
  fi
  if [ -z "$given" ]; then
    command -v cargo >/dev/null || fail "no program: PERCEPT=FILE, or FILE.xz; there is no cargo to build it"
    local features=()
    [ "$kind" = cpu ] || features=(--features "$kind")
    cargo build --release --locked "${features[@]}" >&2
    given=target/release/percept
  fi
  [ -e "$given" ] || fail "PERCEPT=$given: no such file"
  case $given in
    *.xz)
      xz -dc "$given" > "$work/percept" || fail "$given cannot be unpacked (is xz there?)"
      given=$work/percept
      ;;
  esac
  chmod +x "$given" 2>/dev/null || true
  realpath "$given"
}

# A folder with nvvm/libdevice/libdevice.10.bc, which CubeCL's compiler reads: that of CUDA, or one made around a libdevice that came with Triton or pip.
find_cuda() {
  local library=nvvm/libdevice/libdevice.10.bc folder found
  for folder in "${CUDA_PATH:-}" "${CUDA_HOME:-}" /usr/local/cuda /usr/local/cuda-* /opt/cuda /usr/lib/cuda /usr/lib/nvidia-cuda-toolkit; do
    if [ -n "$folder" ] && [ -e "$folder/$library" ]; then echo "$folder"; return; fi
  done
  found=$(find /usr /opt /root "$HOME" -xdev -name libdevice.10.bc -print -quit 2>/dev/null || true)
  [ -n "$found" ] || fail "no libdevice.10.bc on this machine: set CUDA_PATH to a folder that has $library"
  mkdir -p "$work/cuda/${library%/*}"
  cp "$found" "$work/cuda/$library"
  echo "$work/cuda"
}

# Percept's number of this name in a file of JSON.
figure() { grep -oE "\"$1\":[0-9.eE+-]+" "$2" | head -n 1 | cut -d: -f2 | awk '{ printf "%.4g", $1 }' || true; }
row() { printf '%-34s %-8s %5s s  %s\n' "$@" >> "$table"; }

failures=0 left_out=0
# step NAME LIMIT COMMAND...: runs it for LIMIT seconds at most; its stdout goes into $work/steps/NAME too. A failure is told at the end, so that one call shows all of them.
step() {
  local name=$1 limit=$2 begin=$SECONDS left=$((most - SECONDS)) result=ok
  shift 2
  if [ "$left" -lt 10 ]; then row "$name" "left out" 0 "no time"; left_out=$((left_out + 1)); return 1; fi
  [ "$limit" -le "$left" ] || limit=$left
  printf '\n== [%3d s] %s\n' "$SECONDS" "$name" | tee -a "$log"
  timeout "$limit" "$@" 2>> "$log" > "$work/steps/$name" || result=$?
  cat "$work/steps/$name" >> "$log"
  spent=$((SECONDS - begin))
  case $result in
    ok) return 0 ;;
    124) row "$name" "time out" "$spent" "after $limit s" ;;
    *) row "$name" FAILED "$spent" "exit code $result, $(grep -E '^error:' "$log" | tail -n 1 | cut -c1-70)" ;;
  esac
  failures=$((failures + 1))
  return 1
}
# The same for a step that has a number of interest.
timed() {
  local name=$1 key=$2 unit=$3 limit=$4
  shift 4
  if step "$name" "$limit" "$@"; then
    cp "$work/steps/$name" "$out/$name.json"
    row "$name" ok "$spent" "$(figure "$key" "$out/$name.json") $unit"
  fi
}

percept=$(find_program)
if [ "$kind" = cuda ]; then
  CUDA_PATH=$(find_cuda)
  export CUDA_PATH
  echo "CUDA_PATH=$CUDA_PATH" | tee -a "$log"
fi
: > "$table"
step doctor 60 "$percept" doctor && cat "$work/steps/doctor"

fixtures=()
[ -z "${FIXTURES:-}" ] || fixtures=(--fixtures "$FIXTURES")
for model in llp perceiver-ar perceiver-v1 perceiver-v2 perceiver-v3 transformer longlora hybrid; do
  # Single precision on the device against f64 on the processor.
  if step "verify $model" 60 "$percept" verify "$model-tiny" --device "$device" "${fixtures[@]}"; then row "verify $model" ok "$spent" ""; fi
  fixtures=()
done

if step train 90 "$percept" train llp-tiny --data docs README.md --run "$work/run" --steps 20 --device "$device" --set train.checkpoint_every=0; then
  row train ok "$spent" "20 steps of llp-tiny"
  if step generate 60 "$percept" generate "$work/run" --prompt "Percept is" --tokens 40 --device "$device"; then row generate ok "$spent" "40 tokens"; fi
fi
timed decode-S ms_per_token "ms per token" 60 "$percept" bench decode --config S --device "$device" --json
timed "$paper" median_ms "ms per step" 120 "$percept" bench train "$paper" --steps 3 --device "$device" --precision "$precision" --json
if [ -n "${TORCH_BASELINE:-}" ]; then
  timed against-torch-L ratio "times PyTorch's step" 150 "$percept" bench train --config L --precision "$precision" --steps 10 --device "$device" \
    --against "${PYTHON:-python3} benches/gpu_torch.py --config L --steps 10" --json
else
  row against-torch-L "left out" 0 "TORCH_BASELINE is not set"
fi

# Last, as it is the least of it. With the log, every kernel is waited for: its sums tell where the time goes, not how long a step takes.
cat > "$work/profiled/cubecl.toml" <<TOML
[profiling]
logger = { level = "basic", file = "$out/profile.log" }
TOML
profiled() { cd "$work/profiled" && exec "$percept" bench train "$paper" --steps 1 --device "$device" --precision "$precision" --json; }
export -f profiled
export work percept device precision paper
if step profile 120 bash -c profiled; then row profile ok "$spent" "per kernel: $out/profile.log"; fi

printf '\n== %s on %s: %d s, %d failed, %d without time; logs in %s\n\n' "$("$percept" --version)" "$device" "$SECONDS" "$failures" "$left_out" "$out"
cat "$table"
[ "$failures" = 0 ]
