"""lm-evaluation-harness against `percept serve`: python lm_eval_client.py PERCEPT RUN (needs `lm_eval[api]` and `transformers` of PyPI).

A task with answers to choose from is run through `local-completions`, once with prompts as token ids by the exported tokenizer, once as text,
and in batches. Each log-likelihood must be what `percept eval` gives, and the accuracy the one that follows from those."""

import json
import os
import subprocess
import sys
import tempfile

TASK = """\
task: percept_choices
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
metric_list:
  - metric: acc
"""
DOCUMENTS = [
    {"text": "The state of a stream is saved in a", "choices": ["file", "zqxj", "tree"], "label": 0},
    {"text": "Percept trains, evaluates and runs language", "choices": ["bananas", "models"], "label": 1},
    {"text": "Naïve café, 日本語 🙂:", "choices": ["né", "the", "日"], "label": 1},
    {"text": "A run is kept in a", "choices": ["wkqz", "folder", "<|document|>"], "label": 1},
    {"text": "Every error says what went", "choices": ["wrong", "wrong and where, and what to do about it", "up"], "label": 0},
]


class Percept:
    def __init__(self, program, run, folder):
        self.program, self.run, self.folder = program, run, folder

    def json(self, *arguments):
        done = subprocess.run([self.program, *arguments, "--json"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def likelihood(self, text):
        """Of all tokens of a text after the document token."""
        path = os.path.join(self.folder, "text.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return -self.json("eval", self.run, "--data", path)["nll"]


def expected(percept):
    """For each document the log-likelihood of each answer."""
    for document in DOCUMENTS:
        context = percept.likelihood(document["text"])
        yield [percept.likelihood(f"{document['text']} {choice}") - context for choice in document["choices"]]


def evaluate(address, folder, **more):
    import lm_eval
    from lm_eval.tasks import TaskManager

    arguments = {"model": "run", "base_url": f"http://{address}/v1/completions", "tokenizer_backend": "huggingface",
                 "tokenizer": os.path.join(folder, "tokenizer"), **more}
    result = lm_eval.simple_evaluate(model="local-completions", model_args=arguments, tasks=["percept_choices"],
                                     task_manager=TaskManager(include_path=os.path.join(folder, "tasks"), include_defaults=False),
                                     bootstrap_iters=0)
    samples = sorted(result["samples"]["percept_choices"], key=lambda sample: sample["doc_id"])
    return [[answer[0] for answer in sample["filtered_resps"]] for sample in samples], result["results"]["percept_choices"]["acc,none"]


def main(program, run):
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = os.path.join(folder, "cache")
        percept = Percept(program, run, folder)
        percept.json("tokenizer", "export", run, "--out", os.path.join(folder, "tokenizer"))
        data = os.path.join(folder, "documents.jsonl")
        with open(data, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(document) + "\n" for document in DOCUMENTS)
        os.mkdir(os.path.join(folder, "tasks"))
        with open(os.path.join(folder, "tasks", "choices.yaml"), "w", encoding="utf-8") as file:
            file.write(TASK.format(data=data))

        ours = list(expected(percept))
        best = [likelihoods.index(max(likelihoods)) for likelihoods in ours]
        accuracy = sum(label == document["label"] for label, document in zip(best, DOCUMENTS)) / len(DOCUMENTS)
        server = subprocess.Popen([program, "--json", "serve", f"run={run}", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        try:
            address = json.loads(server.stdout.readline())["address"]
            for form in {}, {"tokenized_requests": False}, {"batch_size": 4}:
                theirs, acc = evaluate(address, folder, **form)
                worst = max(abs(a - b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))
                assert worst < 1e-4, (form, worst, ours, theirs)
                assert abs(acc - accuracy) < 1e-9, (form, acc, accuracy)
                print(f"lm_eval {form or ''}: log-likelihoods of percept eval to {worst:.1e}, accuracy {acc}")
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0


main(*sys.argv[1:])
