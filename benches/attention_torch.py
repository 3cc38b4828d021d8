#!/usr/bin/env python3
"""Models bound by attention, in PyTorch: what `percept bench train` is compared with beside LLP.

    attention_torch.py --model transformer  --dim 256 --heads 4 --window 4096
    attention_torch.py --model perceiver-v1 --dim 192 --heads 3 --window 2048 --latents 1024

The paper's options, as `--config S` has them: one projection for key and value, rotary in the first layer, GELU, LayerNorm; attention by
scaled_dot_product_attention, AdamW fused. Prints one JSON object: times of whole steps in milliseconds, parameters, peak memory in MiB.
"""
import argparse
import json
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rotate(x):
    """x: [batch, heads, length, channels], interleaved pairs."""
    length, channels = x.shape[-2:]
    rate = 10000.0 ** (-torch.arange(0, channels, 2).float() / channels)
    angle = torch.arange(length).float()[:, None] * rate
    cos, sin = angle.cos(), angle.sin()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, dim, heads, history, first):
        super().__init__()
        self.heads, self.history, self.first = heads, history, first
        self.query, self.keyval = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim)

    def forward(self, x):
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k = split(self.query(x)), split(self.keyval(x))
        if self.first:
            q, k = rotate(q), rotate(k)
        h, n = self.history, x.shape[1]
        if h == 0:
            y = F.scaled_dot_product_attention(q, k, k, is_causal=True)
        else:
            # The history sees itself in both directions; a latent sees all before it.
            past = F.scaled_dot_product_attention(q[:, :, :h], k[:, :, :h], k[:, :, :h])
            visible = torch.ones(n - h, n, dtype=torch.bool).tril(h)
            latents = F.scaled_dot_product_attention(q[:, :, h:], k, k, attn_mask=visible)
            y = torch.cat((past, latents), 2)
        return self.output(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, heads, history, first):
        super().__init__()
        self.norms = nn.ModuleList((nn.LayerNorm(dim), nn.LayerNorm(dim)))
        self.attention = Attention(dim, heads, history, first)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.feed_forward(self.norms[1](x))


class Model(nn.Module):
    def __init__(self, args, history):
        super().__init__()
        self.history = history
        self.embedding = nn.Embedding(args.vocab, args.dim)
        self.blocks = nn.ModuleList(Block(args.dim, args.heads, history, layer == 0) for layer in range(args.layers))
        self.norm, self.head = nn.LayerNorm(args.dim), nn.Linear(args.dim, args.vocab)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        # Only the latents are trained.
        return self.head(self.norm(x[:, self.history:]))


def main():
    imported = peak_mib()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["transformer", "perceiver-v1"], required=True)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    for name, value in dict(dim=256, heads=4, layers=4, window=4096, latents=0, vocab=4096, batch=1, steps=6, threads=2).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    history = args.window - args.latents if args.model == "perceiver-v1" else 0
    model = Model(args, history)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    data = torch.randint(0, args.vocab, (args.batch, args.window + 1))
    times = []
    for _ in range(args.steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16"):
            logits = model(data[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), data[:, 1 + history:].flatten())
        loss.backward()
        optimizer.step()
        loss.item()
        times.append((time.perf_counter() - start) * 1e3)
    times = sorted(times[2:])
    print(json.dumps(dict(task="train", config=args.model, dtype=args.dtype, torch=torch.__version__, steps=args.steps, min_ms=times[0],
                          median_ms=times[len(times) // 2], params=sum(p.numel() for p in model.parameters()),
                          peak_rss_mib=peak_mib(), import_rss_mib=imported)))


if __name__ == "__main__":
    main()
