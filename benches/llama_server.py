"""llama.cpp's own server over a model of a given size, to be measured by `load`: python llama_server.py MODEL.gguf --port 8081

Needs `gguf` and `xllamacpp` of PyPI; the latter is llama.cpp with its server. The weights are random: what they cost does not depend on what
they say. Tokens are single characters, as a model of bytes has them. Llama's architecture with the defaults has 10.1 million parameters, as many as
`llp-small`, and as many layers and heads of the same width."""

import argparse
import json
import os
import threading

import gguf
import numpy as np
import xllamacpp

SPECIAL = ["<unk>", "<s>", "</s>"]


def tokens():
    """Those of SentencePiece's kind, with the characters of 256 more tokens. All are whole characters, so that each is sent at once."""
    characters = [chr(code) for code in [*range(0x21, 0x7F), *range(0xA1, 0x143)]]
    return SPECIAL + ["\u2581", *characters[:255]]


def write(path, options):
    random, vocab = np.random.default_rng(1), tokens()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(options.context)
    writer.add_embedding_length(options.dim)
    writer.add_block_count(options.depth)
    writer.add_feed_forward_length(options.feed_forward)
    writer.add_head_count(options.heads)
    writer.add_head_count_kv(options.heads)
    writer.add_rope_dimension_count(options.dim // options.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocab))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocab)
    writer.add_token_scores([0.0] * len(vocab))
    kinds = gguf.TokenType
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.NORMAL] * (len(vocab) - len(SPECIAL)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    kind = gguf.GGMLQuantizationType[options.type]
    count = 0

    def matrix(name, rows, columns):
        nonlocal count
        values = random.standard_normal((rows, columns), dtype=np.float32) / np.sqrt(columns)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        count += values.size

    dim, inner = options.dim, options.feed_forward
    matrix("token_embd.weight", len(vocab), dim)
    for layer in range(options.depth):
        for name in "attn_norm", "ffn_norm":
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(dim, np.float32))
        for name in "attn_q", "attn_k", "attn_v", "attn_output":
            matrix(f"blk.{layer}.{name}.weight", dim, dim)
        for name, rows, columns in ("ffn_gate", inner, dim), ("ffn_up", inner, dim), ("ffn_down", dim, inner):
            matrix(f"blk.{layer}.{name}.weight", rows, columns)
    writer.add_tensor("output_norm.weight", np.ones(dim, np.float32))
    matrix("output.weight", len(vocab), dim)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="file to write, if it is not there, and to serve")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--context", type=int, default=262144, help="tokens of all streams together")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--unified", action="store_true", help="one cache for all streams, not a part of it for each")
    parser.add_argument("--type", default="F32", help="number format of the matrices: F32, F16, Q8_0")
    for name, value in dict(dim=320, depth=8, heads=5, feed_forward=864).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    options = parser.parse_args()
    if not os.path.exists(options.model):
        write(options.model, options)
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames, params.port = ["127.0.0.1"], options.port
    params.n_parallel, params.n_ctx, params.kv_unified = options.streams, options.context, options.unified
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    server = xllamacpp.Server(params)
    address = server.listening_address.removeprefix("http://")
    print(json.dumps({"address": address, "pid": os.getpid(), "llama.cpp": str(xllamacpp.BUILD_INFO)}), flush=True)
    threading.Event().wait()


main()
