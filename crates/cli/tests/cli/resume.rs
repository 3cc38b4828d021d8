//! Going on with a run: what is refused, what is said, and what is never lost.

use std::path::Path;

use serde_json::Value;

use crate::support::Work;

/// Lines of metrics of one kind.
fn lines(work: &Work, run: &str, kind: &str) -> Vec<Value> {
    let text = std::fs::read(work.path(run).join("metrics.jsonl")).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    lines.filter(|line| line["kind"] == kind).collect()
}

/// Learning rates by step, from 1.
fn rates(work: &Work, run: &str) -> Vec<f64> {
    lines(work, run, "train").iter().map(|line| line["learning_rate"].as_f64().unwrap()).collect()
}

fn bits(work: &Work, run: &[&str]) -> f64 {
    let score = work.run(&[&["eval"], run, &["--data", "text.txt", "--json"]].concat()).succeeds().json();
    score["bits_per_byte"].as_f64().unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_exported_folder_has_no_training_to_go_on_with() {
    let work = Work::trained(2);
    work.run(&["export", "run", "--out", "out"]).succeeds();
    insta::assert_snapshot!(work.run(&["resume", "out"]).refusal(), @r"
    exit 2
    error: out holds exported weights, not a run: there is nothing to go on with
    hint: `percept train out/config.toml --init-from out --data PATH` starts a new run from them
    ");
    assert_eq!(names(&work.path("out")), [".percept", "config.toml", "model.safetensors", "tokenizer.json"]);
    insta::assert_snapshot!(work.run(&["resume", "run/checkpoints/step-000002"]).refusal(), @r"
    exit 2
    error: run/checkpoints/step-000002 is a checkpoint, not a run
    hint: `percept resume run` goes on from the newest one
    ");
    let hinted =
        ["train", "out/config.toml", "--init-from", "out", "--data", "text.txt", "--run", "new", "--steps", "1"];
    work.run(&hinted).succeeds();
}

#[test]
fn the_checkpoint_that_is_named_is_the_one_that_is_scored() {
    let work = Work::trained(60);
    work.train(&["--steps", "1", "--run", "other", "--seed", "5"]).succeeds();
    work.run(&["export", "run", "--out", "out"]).succeeds();
    assert_eq!(bits(&work, &["out"]), bits(&work, &["run"]));
    insta::assert_snapshot!(work.run(&["eval", "out", "--checkpoint", "7", "--data", "text.txt"]).refusal(), @r"
    exit 2
    error: out holds exported weights: it has no step 7
    hint: leave --checkpoint out: there is one set of weights
    ");
    // A folder with both: exported weights, and checkpoints of something else.
    copy_folder(&work.path("other/checkpoints"), &work.path("out/checkpoints"));
    let other = bits(&work, &["other"]);
    assert_ne!(other, bits(&work, &["run"]));
    assert_eq!(bits(&work, &["out/checkpoints/step-000001"]), other);
    assert_eq!(bits(&work, &["out", "--checkpoint", "1"]), other);
    let both = work.run(&["eval", "out", "--data", "text.txt", "--json"]).succeeds();
    assert!(both.stderr.contains("warning: out holds exported weights, which are used"), "{}", both.stderr);
    assert_eq!(both.json()["bits_per_byte"].as_f64(), Some(bits(&work, &["run"])));
    // A checkpoint alone, under any name, has all that it needs.
    copy_folder(&work.path("other/checkpoints/step-000001"), &work.path("mine"));
    assert_eq!(bits(&work, &["mine"]), other);
    std::fs::write(work.path("mine/model.safetensors"), "garbage").unwrap();
    let broken = work.run(&["eval", "mine", "--data", "text.txt"]);
    assert!(
        broken.code == 3 && broken.stderr.contains("broken checkpoint: mine/model.safetensors"),
        "{}",
        broken.stderr
    );
    work.run(&["verify", "other/checkpoints/step-000001"]).succeeds();
    let refused = work.run(&["plan", "run"]);
    assert!(refused.code == 2 && refused.stderr.contains("its configuration is run/config.toml"), "{}", refused.stderr);
}

#[test]
fn metrics_are_never_rewritten() {
    let work = Work::trained(8);
    let path = work.path("run/metrics.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut bytes = text.replacen('\n', "\n\n# my note\n", 1).into_bytes();
    bytes.extend(b"\xff\0\0{\"kind\":\"tra");
    std::fs::write(&path, &bytes).unwrap();
    let shown = work.run(&["runs", "show", "run", "--json"]).succeeds().json();
    assert_eq!(shown["metrics"].as_array().unwrap().len(), 9, "8 steps and a validation");
    assert!(shown["problem"].as_str().unwrap().contains("run/metrics.jsonl:2: no line of metrics"), "{shown}");
    let resumed = work.run(&["resume", "run", "--steps", "10"]).succeeds();
    let warning = "run/metrics.jsonl:2: no line of metrics (nor are 2 others, the last in line 12)";
    assert_eq!(resumed.stderr.matches(warning).count(), 1, "{}", resumed.stderr);
    let after = std::fs::read(&path).unwrap();
    assert!(after.starts_with(&bytes), "{}", String::from_utf8_lossy(&after));
    let steps: Vec<u64> = lines(&work, "run", "train").iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let shown = work.run(&["runs", "show", "run", "--json"]).succeeds().json();
    assert_eq!((shown["metrics"].as_array().unwrap().len(), shown["step"].as_u64()), (12, Some(10)));
}

#[test]
fn steps_that_were_lost_are_taken_back_and_kept() {
    let work = Work::new();
    work.train(&["--steps", "9", "--set", "train.checkpoint_every=3", "--set", "train.keep=9"]).succeeds();
    let path = work.path("run/metrics.jsonl");
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_dir_all(work.path("run/checkpoints/step-000009")).unwrap();
    work.run(&["resume", "run", "--quiet"]).succeeds();
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(&before), "{after}");
    assert!(after[before.len()..].starts_with("{\"kind\":\"resumed\",\"step\":6}\n"), "{after}");
    let shown = work.run(&["runs", "show", "run", "--json"]).succeeds().json();
    let counted = shown["metrics"].as_array().unwrap().iter().filter(|line| line["kind"] == "train");
    let steps: Vec<u64> = counted.map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn fewer_steps_than_are_done_are_refused_and_nothing_changes() {
    let work = Work::trained(4);
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    insta::assert_snapshot!(work.run(&["resume", "run", "--steps", "3"]).refusal(), @r"
    exit 2
    error: --steps 3: the run has done 4 steps already
    hint: more steps than that train longer; `--checkpoint STEP` of eval and generate takes an earlier checkpoint
    ");
    let refused = work.run(&["resume", "run", "--set", "train.seconds=1e-9"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("--set train.seconds=1e-9: the run has trained for"),
        "{}",
        refused.stderr
    );
    let refused = work.run(&["resume", "run", "--steps", "9", "--set", "train.seed=7"]);
    assert!(refused.code == 2 && refused.stderr.contains("not the one of the checkpoint"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(work.path("run/config.toml")).unwrap(), config);
    let nothing = work.run(&["resume", "run", "--steps", "4"]).succeeds();
    assert!(nothing.stderr.contains("nothing is left to train after step 4"), "{}", nothing.stderr);
    assert_eq!(std::fs::read_to_string(work.path("run/config.toml")).unwrap(), config);
}

#[test]
fn a_schedule_that_has_ended_does_not_rise_without_a_word() {
    let work = Work::new();
    work.train(&["--steps", "10", "--set", "train.warmup=2"]).succeeds();
    for run in ["keep", "decay"] {
        copy_folder(&work.path("run"), &work.path(run));
    }
    let resumed = work.run(&["resume", "run", "--steps", "14"]).succeeds();
    for part in
        ["warning: the schedule has ended with step 10. learning rate: 0.001 ", "--schedule decay", "--schedule keep"]
    {
        assert!(resumed.stderr.contains(part), "{part}: {}", resumed.stderr);
    }
    assert_eq!(rates(&work, "run")[9..], [0.001; 5]);
    // Interrupted and resumed, it stays so; and its configuration repeats it from the start.
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    assert!(config.contains("[[train.continuation]]"), "{config}");
    work.run(&["train", "run/config.toml", "--run", "again"]).succeeds();
    assert_eq!(rates(&work, "again"), rates(&work, "run"));

    let kept = work.run(&["resume", "keep", "--steps", "14", "--schedule", "keep"]).succeeds();
    assert!(
        kept.stderr.contains("the schedule counts on 14 steps") && !kept.stderr.contains("warning"),
        "{}",
        kept.stderr
    );
    let config = std::fs::read_to_string(work.path("keep/config.toml")).unwrap();
    assert!(rates(&work, "keep")[10] > 0.002 && !config.contains("continuation"), "{config}");
    work.run(&["resume", "decay", "--steps", "14", "--schedule", "decay"]).succeeds();
    let rates = rates(&work, "decay");
    assert!(rates[9..].is_sorted_by(|a, b| a > b) && (rates[13] - 0.0001).abs() < 1e-12, "{rates:?}");
}

#[test]
fn text_that_has_moved_is_named_anew() {
    let work = Work::new();
    work.train(&["--steps", "2"]).succeeds();
    std::fs::create_dir(work.path("elsewhere")).unwrap();
    std::fs::rename(work.path("text.txt"), work.path("elsewhere/same.txt")).unwrap();
    insta::assert_snapshot!(work.run(&["resume", "run", "--steps", "3"]).refusal(), @r"
    exit 3
    error: no such file or folder: [DIR]/text.txt
    hint: where the same text has moved, `percept resume RUN --data PATH` names its new place
    ");
    work.write("other.txt", &"Another text of many words, for nobody. ".repeat(90));
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    insta::assert_snapshot!(work.run(&["resume", "run", "--steps", "3", "--data", "other.txt", "--quiet"]).refusal(), @r"
    exit 2
    error: --data other.txt: this is not the training text of the run
    hint: name the same files in the same order; `percept train --init-from RUN --data PATH` goes on with another text
    ");
    assert_eq!(std::fs::read_to_string(work.path("run/config.toml")).unwrap(), config);
    work.run(&["resume", "run", "--steps", "3", "--data", "elsewhere/same.txt"]).succeeds();
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    assert!(config.contains("elsewhere/same.txt"), "{config}");
    work.run(&["resume", "run", "--steps", "4", "--set", "data.cache=tokens"]).succeeds();
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    let cache = format!("cache = \"{}\"", work.path("tokens").display());
    assert!(config.contains(&cache) && work.path("tokens").is_dir(), "{config}");
}

#[test]
fn validation_text_that_has_moved_must_be_the_same_too() {
    let work = Work::new();
    work.write("valid.txt", &"The lazy dog sleeps. ".repeat(20));
    work.train(&["--steps", "2", "--validation", "valid.txt"]).succeeds();
    std::fs::rename(work.path("valid.txt"), work.path("moved.txt")).unwrap();
    work.write("wrong.txt", &"The quick dog sleeps. ".repeat(20));
    let resume = |path: &str| work.run(&["resume", "run", "--steps", "3", "--validation", path]);
    let refused = resume("wrong.txt");
    let message = "--validation wrong.txt: this is not the validation or test text of the run";
    assert!(refused.code == 2 && refused.stderr.contains(message), "{}", refused.stderr);
    resume("moved.txt").succeeds();
    // Unlike the training text, it may change under its name; but not without a word.
    work.write("moved.txt", &"The quick dog sleeps. ".repeat(20));
    let changed = work.run(&["resume", "run", "--steps", "4"]).succeeds();
    assert!(changed.stderr.contains("warning: the validation or test text has changed"), "{}", changed.stderr);
}

#[test]
fn a_lost_configuration_is_restored_and_the_folder_is_not_taken() {
    let work = Work::trained(4);
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    let metrics = std::fs::read_to_string(work.path("run/metrics.jsonl")).unwrap();
    let score = bits(&work, &["run"]);
    std::fs::remove_file(work.path("run/config.toml")).unwrap();
    insta::assert_snapshot!(work.train(&["--steps", "1"]).refusal(), @r"
    exit 2
    error: [DIR]/run holds checkpoints of a run, but no config.toml
    hint: `percept resume [DIR]/run` restores it from the newest checkpoint and goes on; else choose another folder
    ");
    assert_eq!(std::fs::read_to_string(work.path("run/metrics.jsonl")).unwrap(), metrics);
    let listed = work.run(&["runs", "list", "run"]).succeeds().stdout;
    assert!(listed.contains("it has no config.toml: `percept resume` restores it"), "{listed}");
    // The checkpoint has all that is needed to use it.
    assert_eq!(bits(&work, &["run"]), score);
    let resumed = work.run(&["resume", "run"]).succeeds();
    assert!(resumed.stderr.contains("run/config.toml is missing: "), "{}", resumed.stderr);
    assert_eq!(std::fs::read_to_string(work.path("run/config.toml")).unwrap(), config);

    std::fs::remove_file(work.path("run/config.toml")).unwrap();
    std::fs::remove_dir_all(work.path("run/checkpoints")).unwrap();
    let refused = work.train(&["--steps", "1"]);
    assert!(refused.code == 2 && refused.stderr.contains("holds metrics.jsonl of another run"), "{}", refused.stderr);
}

#[test]
fn what_else_is_lost_is_restored_or_told() {
    let work = Work::new();
    work.train(&["--steps", "4", "--set", "train.checkpoint_every=2"]).succeeds();
    let score = bits(&work, &["run"]);
    std::fs::remove_file(work.path("run/tokenizer.json")).unwrap();
    std::fs::remove_file(work.path("run/metrics.jsonl")).unwrap();
    std::fs::write(work.path("run/best"), "step-000077\n").unwrap();
    let scored = work.run(&["eval", "run", "--data", "text.txt", "--json"]).succeeds();
    for part in ["tokenizer.json is missing", "the best checkpoint is unusable, taking step 4"] {
        assert!(scored.stderr.contains(part), "{part}: {}", scored.stderr);
    }
    assert_eq!(scored.json()["bits_per_byte"].as_f64(), Some(score));
    let resumed = work.run(&["resume", "run", "--steps", "6"]).succeeds();
    assert!(resumed.stderr.contains("metrics.jsonl holds no line of the steps so far"), "{}", resumed.stderr);
    assert!(work.path("run/tokenizer.json").is_file());
    assert_eq!(lines(&work, "run", "train").len(), 2);

    std::fs::remove_dir_all(work.path("run/checkpoints")).unwrap();
    insta::assert_snapshot!(work.run(&["resume", "run"]).refusal(), @r"
    exit 2
    error: [DIR]/run was trained for 6 steps, but its checkpoints are gone
    hint: `percept train [DIR]/run/config.toml --run FOLDER` trains it again
    ");
    assert_eq!(lines(&work, "run", "train").len(), 2);
}

#[test]
fn a_new_run_takes_a_half_made_folder_but_nobody_s_tokenizer() {
    let work = Work::new();
    // As a process leaves it that was killed before it wrote the configuration.
    for folder in ["run/samples", "run/checkpoints"] {
        std::fs::create_dir_all(work.path(folder)).unwrap();
    }
    work.write("run/lock", "(process 1)\n");
    work.run(&["tokenizer", "train", "text.txt", "--vocab", "260", "--out", "run/tokenizer.json"]).succeeds();
    let tokenizer = std::fs::read(work.path("run/tokenizer.json")).unwrap();
    let refused = work.train(&["--steps", "1"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("run/tokenizer.json is another tokenizer than the run's"),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::read(work.path("run/tokenizer.json")).unwrap(), tokenizer);
    work.train(&["--steps", "1", "--tokenizer", "run/tokenizer.json"]).succeeds();
}
