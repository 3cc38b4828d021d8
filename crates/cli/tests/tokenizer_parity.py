"""The exported tokenizers give PyPI's `tokenizers` the ids that Percept gives: python tokenizer_parity.py PERCEPT [FIXTURES]

PERCEPT is the program. FIXTURES is the folder of the official World vocabulary and its cases; without it a small vocabulary has to do.
Ids are compared with a greedy search written here, on many texts, and with what `percept tokenizer inspect` says, on some.
"""

import ast
import json
import os
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

SMALL = ["the", " the", "'s", "then", "\t\t", b"\xe6\x97", "\xe9", "cat", "\U0001f642", "((", "a|", "a|b*", "<|"]
BITS = [" ", "\n", "\t", "\r\n", "  ", "the", "then", "<|document|>", "\0", "é", "e\u0301", "日本", "🏳️‍🌈", "=====", "a|b*", "\\"]


def small_vocabulary(path):
    tokens = [bytes([byte]) for byte in range(256)] + SMALL
    with open(path, "w", encoding="utf-8") as file:
        for number, token in enumerate(tokens, 1):
            file.write(f"{number} {token!r} {len(token.encode() if isinstance(token, str) else token)}\n")


def vocabulary(path):
    """Ids by bytes, read as the authors of RWKV read the file."""
    ids = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            number, rest = line.split(" ", 1)
            token = ast.literal_eval(rest.rsplit(" ", 1)[0])
            ids[token.encode() if isinstance(token, str) else token] = int(number)
    return ids


def greedy(ids, data):
    longest, at, found = max(map(len, ids)), 0, []
    while at < len(data):
        end = next(end for end in range(min(len(data), at + longest), at, -1) if data[at:end] in ids)
        found.append(ids[data[at:end]])
        at = end
    return found


def texts(ids, count):
    """Every character of a byte or two, texts of tokens and of anything, long ones without a blank."""
    yield ""
    yield "".join(map(chr, range(0x800)))
    yield from ("語" * 3000, "=" * 3000, "\n" * 3000, "a" * 3000)
    draw, tokens = random.Random(1), sorted(ids)
    for _ in range(count):
        parts = []
        for _ in range(draw.randrange(30)):
            kind = draw.random()
            if kind < 0.4:
                parts.append(draw.choice(tokens).decode("utf-8", "ignore"))
            elif kind < 0.7:
                parts.append(draw.choice(BITS))
            else:
                parts.append(chr(draw.choice([draw.randrange(0x80), draw.randrange(0xD800), draw.randrange(0xE000, 0x110000)])))
        yield "".join(parts)


def check(percept, name, source, ids, document, cases, folder):
    out = os.path.join(folder, name)
    subprocess.run([percept, "tokenizer", "export", source, "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    theirs = Tokenizer.from_file(os.path.join(out, "tokenizer.json"))
    assert theirs.token_to_id("<|document|>") == document
    checked = 0
    for text in texts(ids, 3000):
        found = theirs.encode(text).ids
        assert found == greedy(ids, text.encode()), (name, text)
        assert theirs.decode(found) == text, (name, text)
        if checked % 100 == 0 and text and "\0" not in text:
            said = subprocess.run([percept, "tokenizer", "inspect", source, "--text", text[:200], "--json"], check=True, capture_output=True)
            assert [token["id"] for token in json.loads(said.stdout)["tokens"]] == theirs.encode(text[:200]).ids, (name, text)
        checked += 1
    for case in cases:
        assert theirs.encode(case["text"]).ids == case["ids"], (name, case)
    print(f"{name}: {checked} texts and {len(cases)} cases of the authors have the same ids")


def main():
    percept, fixtures = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory() as folder:
        small = os.path.join(folder, "small.txt")
        small_vocabulary(small)
        check(percept, "bytes", "bytes", {bytes([byte]): byte for byte in range(256)}, 256, [], folder)
        check(percept, "small", small, vocabulary(small), 0, [], folder)
        official = os.path.join(fixtures, "rwkv_vocab_v20230424.txt")
        if os.path.exists(official):
            with open(os.path.join(fixtures, "tokenizer-cases.json"), encoding="utf-8") as file:
                cases = json.load(file)["cases"]
            check(percept, "world", official, vocabulary(official), 0, cases, folder)
        else:
            print(f"skipped: the official World vocabulary is not at {official or 'any folder that was named'}")


main()
