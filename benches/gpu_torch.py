#!/usr/bin/env python3
"""The PyTorch side of `gpu.sh`: the model of torch_baseline.py on a GPU, under torch.compile, in bf16.

    TORCH_BASELINE=path/to/torch_baseline.py python3 benches/gpu_torch.py --config L --steps 10

Prints one JSON object: milliseconds of whole training steps (forward, backward, fused AdamW), peak device memory in MiB.
"""
import argparse
import importlib.util
import json
import os
import time

import torch
import torch.nn.functional as F


def baseline():
    path = os.environ.get("TORCH_BASELINE")
    if not path:
        raise SystemExit("set TORCH_BASELINE to the path of torch_baseline.py")
    spec = importlib.util.spec_from_file_location("torch_baseline", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="L")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cuda", help="cpu shows that the script works, nothing more")
    args = parser.parse_args()
    module = baseline()
    cfg = module.CONFIGS[args.config]
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    model = module.Llp(cfg, "sdpa").to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    run = torch.compile(model)
    data = torch.randint(0, cfg["vocab"], (cfg["batch"], cfg["window"] + 1), device=args.device)
    times = []
    for step in range(args.steps + 3):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(args.device, torch.bfloat16):
            logits = run(data[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), data[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        loss.item()
        if step >= 3:
            times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    median = times[len(times) // 2]
    peak = torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else None
    print(json.dumps(dict(task="train", config=args.config, impl="compile", dtype="bf16", torch=torch.__version__,
                          device=torch.cuda.get_device_name() if args.device == "cuda" else "cpu", steps=args.steps,
                          min_ms=times[0], median_ms=median,
                          tokens_per_s=cfg["batch"] * cfg["window"] / median * 1e3, peak_device_mib=peak)))


if __name__ == "__main__":
    main()
