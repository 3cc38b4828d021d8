#!/usr/bin/env python3
"""The products of a training step in PyTorch, beside the rows of `percept bench kernels --config S --only linear`.

    products_torch.py S M L                   operands and results in bfloat16, as a model in bfloat16 has them
    products_torch.py --operands cast S M L   operands in f32, rounded first, as autocast has them
    products_torch.py --operands f32 S M L    everything in f32

Prints the median and the fastest call of every linear map, forward and backward, and of the head with cross-entropy and
gradients (under autocast, unless in f32). Two threads by default.
"""
import argparse
import time

import torch
import torch.nn.functional as F

# Rows of a step, width, hidden width, vocabulary.
CONFIGS = {"S": (4096, 256, 1024, 4096), "M": (4096, 512, 2048, 8192), "L": (2048, 768, 3072, 28996)}


def report(name, operations, call, seconds):
    call()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    times.sort()
    median, fastest = times[len(times) // 2], times[0]
    rate = operations / median / 1e9
    print(f"{name:45} median {median * 1e3:9.3f} ms  fastest {fastest * 1e3:9.3f} ms  {rate:6.0f} GFLOP/s", flush=True)


@torch.no_grad()
def linear(name, rows, inputs, outputs, args):
    x, weight, gradient = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
    if args.operands == "bf16":
        x, weight, gradient = x.bfloat16(), weight.bfloat16(), gradient.bfloat16()
    half = torch.Tensor.bfloat16 if args.operands == "cast" else lambda operand: operand
    operations, name = 2 * rows * inputs * outputs, f"{name} linear {inputs} x {outputs}"
    report(f"{name} forward", operations, lambda: F.linear(half(x), half(weight)), args.seconds)
    report(f"{name} dx", operations, lambda: half(gradient) @ half(weight), args.seconds)
    report(f"{name} dw", operations, lambda: half(gradient).t() @ half(x), args.seconds)


def head(name, rows, dim, vocabulary, args):
    hidden = torch.randn(rows, dim, requires_grad=True)
    weight = torch.randn(vocabulary, dim, requires_grad=True)
    targets = torch.randint(0, vocabulary, (rows,))

    def step():
        hidden.grad = weight.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=args.operands != "f32"):
            logits = F.linear(hidden, weight)
        F.cross_entropy(logits.float(), targets).backward()

    report(f"{name} head {dim} x {vocabulary}", 6 * rows * dim * vocabulary, step, args.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", choices=CONFIGS)
    parser.add_argument("--operands", choices=["bf16", "cast", "f32"], default="bf16")
    parser.add_argument("--seconds", type=float, default=0.3, help="least time of each row")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.configs:
        rows, dim, hidden, vocabulary = CONFIGS[name]
        for inputs, outputs in [(dim, dim), (dim, hidden), (hidden, dim)]:
            linear(name, rows, inputs, outputs, args)
        head(name, rows, dim, vocabulary, args)


if __name__ == "__main__":
    main()
