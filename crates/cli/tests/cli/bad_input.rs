//! Wrong input: each case with the whole message that the user reads.

use crate::support::Work;

#[test]
fn a_missing_file() {
    let work = Work::new();
    insta::assert_snapshot!(work.train(&["--data", "nothing.txt"]).refusal(), @r"
    exit 3
    error: no such file or folder: nothing.txt
    hint: check the path
    ");
    insta::assert_snapshot!(work.run(&["train", "nothing.toml"]).refusal(), @r"
    exit 3
    error: cannot read nothing.toml: No such file or directory (os error 2)
    hint: check the path
    ");
    insta::assert_snapshot!(work.run(&["generate", "nothing", "--prompt", "x"]).refusal(), @r"
    exit 3
    error: nothing does not exist
    hint: name the folder that `percept train` wrote, e.g. runs/my-run
    ");
}

#[test]
fn an_empty_folder() {
    let work = Work::new();
    std::fs::create_dir(work.path("empty")).unwrap();
    insta::assert_snapshot!(work.run(&["train", "llp-tiny", "--data", "empty"]).refusal(), @r"
    exit 3
    error: no file to read in folder empty
    hint: put text files in it (hidden files are not read), or name another folder
    ");
}

#[test]
fn an_unknown_key() {
    let work = Work::new();
    insta::assert_snapshot!(work.train(&["--set", "model.dims=64"]).refusal(), @r"
    exit 2
    error: --set model.dims=64: unknown key `model.dims`
    hint: did you mean `model.dim`?
    ");
    work.write("mine.toml", "preset = \"llp-tiny\"\n\n[train]\nstepps = 5\n");
    insta::assert_snapshot!(work.run(&["train", "mine.toml", "--data", "text.txt"]).refusal(), @r"
    exit 2
    error: mine.toml:4: unknown key `train.stepps`
    hint: did you mean `train.steps`?
    ");
}

#[test]
fn an_unknown_precision() {
    insta::assert_snapshot!(Work::new().train(&["--steps", "1", "--precision", "half"]).refusal(), @r"
    exit 2
    error: invalid value 'half' for '--precision <FORMAT>' [possible values: f32, bf16, auto]
    hint: `percept train --help` shows what is accepted
    ");
}

#[test]
fn an_unknown_mixer() {
    let work = Work::new();
    insta::assert_snapshot!(work.train(&["--set", "model.layers=transfomer"]).refusal(), @r"
    exit 2
    error: model.layers: there is no mixer `transfomer`
    hint: did you mean `transformer`?
    ");
}

#[test]
fn heads_that_do_not_divide_the_width() {
    let work = Work::new();
    insta::assert_snapshot!(work.train(&["--set", "model.heads=3"]).refusal(), @r"
    exit 2
    error: model.heads = 3 does not divide model.dim = 16
    hint: for example model.heads = 2
    ");
}

#[test]
fn a_window_shorter_than_a_segment() {
    let work = Work::new();
    insta::assert_snapshot!(work.train(&["--set", "model.context=8"]).refusal(), @r"
    exit 2
    error: model.context = 8 is shorter than a segment (model.segment = 16)
    hint: set model.context to at least 16, or model.segment lower
    ");
}

#[test]
fn a_state_of_no_tokens() {
    let work = Work::trained(1);
    insta::assert_snapshot!(work.run(&["state", "save", "run", "--prompt", ""]).refusal(), @r"
    exit 2
    error: the prompt has 0 tokens
    hint: give at least one character to go on from
    ");
}

#[test]
fn a_checkpoint_of_another_model() {
    let work = Work::trained(1);
    let other = ["--steps", "1", "--run", "other", "--set", "model.dim=32", "--init-from", "run"];
    insta::assert_snapshot!(work.train(&other).refusal(), @r"
    exit 2
    error: run/checkpoints/step-000001 is of another model: model.dim is 16 there and 32 here
    hint: use the same [model] table, e.g. --set model.dim=16
    ");
    work.run(&["state", "save", "run", "--prompt", "x", "--out", "state"]).succeeds();
    work.train(&["--steps", "1", "--run", "third", "--seed", "9"]).succeeds();
    insta::assert_snapshot!(work.run(&["generate", "third", "--from-state", "state"]).refusal(), @r"
    exit 2
    error: state: this state belongs to another model
    hint: load it with the run and checkpoint that wrote it
    ");
}

#[test]
fn a_corrupt_checkpoint() {
    let work = Work::trained(1);
    std::fs::write(work.path("run/checkpoints/step-000001/model.safetensors"), "garbage").unwrap();
    insta::assert_snapshot!(work.run(&["generate", "run", "--prompt", "x"]).refusal(), @r"
    exit 3
    error: broken checkpoint: run/checkpoints/step-000001/model.safetensors has 7 bytes instead of 69232
    hint: use another checkpoint
    ");
    insta::assert_snapshot!(work.run(&["resume", "run"]).refusal(), @r"
    exit 3
    error: no checkpoint is whole: [DIR]/run/checkpoints/step-000001/model.safetensors has 7 bytes instead of 69232
    hint: train again into another run folder
    ");
}

#[test]
fn a_corrupt_state() {
    let work = Work::trained(1);
    work.write("state", "garbage");
    insta::assert_snapshot!(work.run(&["state", "inspect", "state"]).refusal(), @r"
    exit 3
    error: the state file is damaged: header too small
    hint: save the state again with `percept state save`
    ");
    insta::assert_snapshot!(work.run(&["generate", "run", "--from-state", "state"]).refusal(), @r"
    exit 3
    error: state: the state file is damaged: header too small
    hint: save the state again with `percept state save`
    ");
}

#[test]
fn an_unwritable_run_folder() {
    let work = Work::new();
    // A path below a regular file: not even root can write there.
    insta::assert_snapshot!(work.train(&["--run", "text.txt/run"]).refusal(), @r"
    exit 3
    error: cannot make [DIR]/text.txt/run: Not a directory (os error 20)
    hint: a part of this path is a file: choose another folder
    ");
}

#[test]
fn a_run_folder_that_is_taken() {
    let work = Work::trained(1);
    insta::assert_snapshot!(work.train(&["--steps", "1"]).refusal(), @r"
    exit 2
    error: [DIR]/run already holds a run
    hint: `percept resume [DIR]/run` goes on with it; else choose another folder
    ");
}

#[test]
fn a_tokenizer_that_does_not_match() {
    let work = Work::trained(1);
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "260"]).succeeds();
    let other = ["--steps", "1", "--run", "other", "--tokenizer", "tokenizer.json", "--set", "model.vocab=257"];
    insta::assert_snapshot!(work.train(&other).refusal(), @r"
    exit 2
    error: tokenizer mismatch: it has 260 tokens, model.vocab is 257
    hint: model.vocab = 0 takes the tokenizer's number
    ");
    let other = ["--steps", "1", "--run", "other", "--tokenizer", "tokenizer.json", "--init-from", "run"];
    insta::assert_snapshot!(work.train(&other).refusal(), @r"
    exit 2
    error: run/checkpoints/step-000001 is of another model: model.vocab is 257 there and 260 here
    hint: use the same [model] table, e.g. --set model.vocab=257
    ");
    work.write("broken.json", "{}");
    insta::assert_snapshot!(work.train(&["--steps", "1", "--tokenizer", "broken.json"]).refusal(), @r"
    exit 2
    error: broken.json is not a tokenizer: not in Hugging Face's format: Model missing. at line 1 column 2
    hint: give a Hugging Face tokenizer.json, train one with `percept tokenizer train`, or use `bytes`
    ");
}

#[test]
fn values_out_of_range() {
    let work = Work::trained(1);
    let generate = |more: [&str; 2]| work.run(&["generate", "run", "--prompt", "x", more[0], more[1]]).refusal();
    insta::assert_snapshot!(generate(["--top-p", "1.5"]), @r"
    exit 2
    error: top-p is 1.5
    hint: top-p lies in (0, 1]
    ");
    insta::assert_snapshot!(generate(["--temperature", "nan"]), @r"
    exit 2
    error: temperature is NaN
    hint: temperature lies in [0, infinity); 0 takes the most probable token
    ");
    insta::assert_snapshot!(generate(["--device", "cuda:0"]), @r"
    exit 3
    error: this build has no cuda support
    hint: build with `cargo build --release --features cuda`, or use --device cpu
    ");
    insta::assert_snapshot!(generate(["--device", "gpu"]), @r"
    exit 2
    error: unknown device `gpu`
    hint: use auto, cpu, cuda:0, vulkan or metal
    ");
    insta::assert_snapshot!(generate(["--checkpoint", "7"]), @r"
    exit 3
    error: run has no checkpoint of step 7
    hint: there are: 1
    ");
}

#[test]
fn an_empty_path_is_a_usage_fault() {
    let work = Work::new();
    for (arguments, key) in [
        (&["--data", ""][..], "data.sources"),
        (&["--validation", ""], "data.validation"),
        (&["--set", "data.test=['']"], "data.test"),
        (&["--tokenizer", ""], "data.tokenizer"),
        (&["--set", "data.cache=''"], "data.cache"),
    ] {
        let refusal = work.train(&[arguments, &["--steps", "1"]].concat()).refusal();
        assert!(refusal.starts_with(&format!("exit 2\nerror: {key}: ")) && refusal.contains("\nhint: "), "{refusal}");
    }
    for command in [&["data", "stats", ""][..], &["data", "inspect", ""], &["tokenizer", "train", ""]] {
        let refusal = work.run(command).refusal();
        assert!(refusal.starts_with("exit 2\nerror: data.sources: a path is empty\nhint: "), "{command:?} {refusal}");
    }
}
