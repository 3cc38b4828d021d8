"""Words of a tokenizer that puts blanks between its tokens, as BERT's does: on the page a text has the blanks that it has as a whole."""

import json
import pathlib
import subprocess
import tempfile

from playwright.sync_api import expect

from page_tab import Tab
from server import Server

NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "."]
LATER, PLURAL, DOT = NAMES.index("sat"), NAMES.index("##s"), NAMES.index(".")


def tokenizer():
    special = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "post_processor": None, "normalizer": None,
        "added_tokens": [{"id": id, "content": name, **special} for id, name in enumerate(NAMES[:5])],
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": {name: id for id, name in enumerate(NAMES)}},
    }


def trained(percept, folder):
    """A model of these words, which has seen enough of them to write them."""
    (folder / "words.json").write_text(json.dumps(tokenizer()))
    (folder / "text.txt").write_text("the cats sat. " * 400)
    sizes = ["dim=16", "depth=1", "heads=2", "context=64", "segment=16"]
    sets = [f"model.{size}" for size in sizes] + ["train.batch=2", "train.learning_rate=0.01", "train.validate_every=0", "train.sample_every=0", "sample.tokens=0"]
    command = [percept, "train", "llp-tiny", "--data", folder / "text.txt", "--run", folder / "run", "--steps", "60"]
    command += ["--tokenizer", folder / "words.json"]
    subprocess.run(command + [part for one in sets for part in ("--set", one)], check=True, capture_output=True)
    return folder / "run"


def blanks_between_words(looks, percept, _run):
    with tempfile.TemporaryDirectory() as folder, Server(percept, f"words={trained(percept, pathlib.Path(folder))}") as server:
        def text(ids):
            return server.ask("/v1/detokenize", {"tokens": ids})["text"]

        with Tab(looks, server.url) as tab:
            tab.loaded()
            tab.set(max_tokens=12, temperature=1, seed=3)
            tab.find("#prompt").fill("the cats")
            tab.press("Control+Enter")
            first, other = tab.lanes
            begin = server.ask("/v1/tokenize", {"text": "the cats"})["tokens"]
            asked = {"prompt": begin, "max_tokens": 12, "temperature": 1, "seed": 3, "logprobs": 10}
            ids = server.ask("/v1/completions", asked)["choices"][0]["logprobs"]["token_ids"]
            first.ends()
            assert text(begin) + first.text() == text(begin + ids), (first.text(), ids)
            # What could stand there is named as it would stand there: after the prompt a word has its blank, a piece of one has none.
            first.units.nth(0).hover()
            expect(tab.inspector).to_be_visible()
            names = {id: name for id, name, _ in tab.rows()}
            assert (names[LATER], names[PLURAL], names[DOT]) == ("␣sat", "s", "."), names
            tab.shoot("words", whole=False)
            # Forked to a piece of a word and back to a word, the text is that of its tokens.
            for lane, instead in ((other, PLURAL), (first, LATER)):
                tab.inspector.locator(f"[data-token='{instead}']").click()
                lane.ends()
                asked = tab.posted("/v1/completions")[-1]["prompt"]
                assert asked == begin + [instead]
                expect(lane.root.locator(".by-hand")).to_have_text({PLURAL: "s", LATER: " sat"}[instead])
                answer = server.ask("/v1/completions", {**tab.posted("/v1/completions")[-1], "stream": False})
                ids = answer["choices"][0]["logprobs"]["token_ids"]
                assert text(begin) + lane.text() == text(asked + ids), (lane.text(), ids)
                lane.units.nth(0).hover()
                expect(tab.inspector.locator(".choice.written")).to_have_attribute("data-token", str(instead))
