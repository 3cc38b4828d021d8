#!/usr/bin/env bash
# Everything that needs a GPU, in one call: bash benches/gpu.sh [vulkan|cuda]
#
# Builds for the device, holds every kind of model to its contracts there, trains and generates, profiles the training step
# of llp-paper, and compares the shape L with PyTorch under torch.compile in bf16. What it prints goes into docs/performance.md.
#
#   FIXTURES=FOLDER        also compare with recorded outputs of the authors' code (percept verify --fixtures)
#   TORCH_BASELINE=FILE    torch_baseline.py, whose model PyTorch trains; without it that comparison is left out
#   PYTHON=python3         a Python with PyTorch
#   OUT=gpu-results        where the results go
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-vulkan}
case $kind in vulkan | cuda) ;; *) echo "usage: bash benches/gpu.sh [vulkan|cuda]" >&2; exit 2 ;; esac
device="$kind:0"
out=${OUT:-gpu-results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache"
failures=0
say() { printf '\n== %s\n' "$*"; }
check() { # a failure is told at the end, so that one call shows all of them
  "$@" || { echo "FAILED: $*"; failures=$((failures + 1)); }
}

say "build for $kind"
cargo build --release --locked --features "$kind"
percept="$PWD/target/release/percept"
"$percept" doctor

say "contracts: single precision on $device against f64 on the processor"
fixtures=()
[ -z "${FIXTURES:-}" ] || fixtures=(--fixtures "$FIXTURES")
for model in llp perceiver-ar perceiver-v1 perceiver-v2 perceiver-v3 transformer longlora hybrid; do
  say "verify $model-tiny"
  check "$percept" verify "$model-tiny" --device "$device" "${fixtures[@]}"
  fixtures=()
done

say "train and generate"
check "$percept" train llp-tiny --data docs README.md --run "$work/run" --steps 20 --device "$device" --set train.checkpoint_every=0
check "$percept" generate "$work/run" --prompt "Percept is" --tokens 40 --device "$device"
check "$percept" bench decode --config S --device "$device" --json | tee "$out/decode-S.json"

say "profile: the training step of llp-paper"
cat > "$work/cubecl.toml" <<TOML
[profiling]
logger = { level = "basic", file = "$out/profile.log" }
TOML
check "$percept" bench train llp-paper --steps 3 --device "$device" --precision bf16 --json | tee "$out/llp-paper.json"
# With the log, every kernel is waited for: its sums tell where the time goes, not how long a step takes.
(cd "$work" && check "$percept" bench train llp-paper --steps 1 --device "$device" --precision bf16 --json > "$out/llp-paper-profiled.json")
echo "per kernel: $out/profile.log"

if [ -n "${TORCH_BASELINE:-}" ]; then
  say "shape L, bf16, against PyTorch under torch.compile"
  check "$percept" bench train --config L --precision bf16 --steps 10 --device "$device" \
    --against "${PYTHON:-python3} benches/gpu_torch.py --config L --steps 10" --json | tee "$out/against-torch-L.json"
else
  say "TORCH_BASELINE is not set: no comparison with PyTorch"
fi

say "results in $out; $failures failed"
[ "$failures" = 0 ]
