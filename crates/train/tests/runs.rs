//! Whole runs on a very small model: what they leave behind, and how they survive interruptions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use percept_fault::{Fault, Result};
use percept_train::{
    Bf16Support, Changes, Event, Metrics, Outcome, Override, PrecisionChoice, RunConfig, RunFolder, Sources, Which,
    load_run, read_metrics, resolve, resume, train,
};

/// A folder with some text and room for runs.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let texts = folder.path().join("texts");
        fs::create_dir(&texts).unwrap();
        for index in 0..20 {
            let text: String =
                (0..30).map(|line| format!("{} sheep and {} more\n", line * index, line + index)).collect();
            fs::write(texts.join(format!("{index:02}.txt")), text).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The smallest sensible run, changed by `KEY=VALUE`s.
    fn config(&self, changes: &[&str]) -> RunConfig {
        self.try_config(changes).unwrap()
    }

    fn try_config(&self, changes: &[&str]) -> Result<RunConfig> {
        let mut overrides = vec![
            Override::flag("--data", "data.sources", vec![self.path("texts").display().to_string()]),
            Override::flag("--cache", "data.cache", self.path("cache").display().to_string()),
        ];
        let base = [
            "data.split.validation=0.2",
            "model.dim=16",
            "model.depth=2",
            "model.heads=2",
            "model.context=32",
            "model.segment=8",
            "model.attention_dropout=0.1",
            "model.feed_forward_dropout=0.1",
            "train.steps=12",
            "train.batch=2",
            "train.accumulate=2",
            "train.warmup=3",
            "train.learning_rate=0.01",
            "train.log_every=2",
            "train.validate_every=3",
            "train.validation_targets=256",
            "train.sample_every=6",
            "train.checkpoint_every=4",
            "train.device=cpu",
            "sample.tokens=4",
        ];
        for change in base.iter().chain(changes) {
            overrides.push(Override::set(change)?);
        }
        resolve(&Sources { preset: Some("llp-tiny".into()), file: None, overrides })
    }

    fn train(&self, name: &str, changes: &[&str]) -> Result<(Outcome, Vec<Event>)> {
        observed(|events, stop| train(&self.config(changes), &self.path(name), stop, events), |_, _| {})
    }

    fn resume(&self, name: &str) -> Result<(Outcome, Vec<Event>)> {
        observed(|events, stop| resume(&self.path(name), &Changes::default(), stop, events), |_, _| {})
    }
}

fn changes(overrides: &[&str]) -> Changes {
    let overrides = overrides.iter().map(|change| Override::set(change).unwrap()).collect();
    Changes { overrides, ..Changes::default() }
}

type Run<'a> = &'a mut dyn FnMut(Event);

/// Runs and collects the events; `react` may set the flag that asks the run to stop.
fn observed(
    run: impl FnOnce(&mut Run<'_>, &AtomicBool) -> Result<Outcome>,
    mut react: impl FnMut(&Event, &AtomicBool),
) -> Result<(Outcome, Vec<Event>)> {
    let stop = AtomicBool::new(false);
    let mut events = Vec::new();
    let mut observer = |event: Event| {
        react(&event, &stop);
        events.push(event);
    };
    let mut observer: Run<'_> = &mut observer;
    let outcome = run(&mut observer, &stop)?;
    Ok((outcome, events))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The lines of `metrics.jsonl` without what the clock says.
fn timeless_metrics(run: &Path) -> Vec<Metrics> {
    let mut lines = read_metrics(&RunFolder::new(run).metrics_path()).unwrap();
    for line in &mut lines {
        if let Metrics::Train(metrics) = line {
            (metrics.seconds, metrics.tokens_per_second) = (0.0, 0.0);
        }
    }
    lines
}

/// Equal in every bit: weights, moments, metrics and samples.
fn assert_same_run(one: &Path, other: &Path, step: u64) {
    assert_eq!(timeless_metrics(one), timeless_metrics(other));
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let read = |run: &Path| fs::read(run.join(format!("checkpoints/step-{step:06}/{file}"))).unwrap();
        assert!(read(one) == read(other), "{file} differs");
    }
    let sample = |run: &Path| fs::read(run.join(format!("samples/step-{step:06}.txt"))).unwrap();
    assert_eq!(sample(one), sample(other));
}

fn warnings(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| if let Event::Warning(text) = event { Some(text.as_str()) } else { None })
        .collect()
}

#[test]
fn a_run_learns_and_leaves_all_that_is_needed() {
    let place = Place::new();
    let (outcome, events) = place.train("run", &["train.steps=40", "train.keep=2"]).unwrap();
    let Outcome::Finished(summary) = outcome else { panic!("{outcome:?}") };
    assert_eq!((summary.step, summary.tokens), (40, 40 * 2 * 2 * 32));
    let run = place.path("run");
    for name in ["config.toml", "environment.json", "metrics.jsonl", "tokenizer.json", "samples/step-000040.txt"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    assert_eq!(fs::read_to_string(run.join("latest")).unwrap(), "step-000040\n");
    let best = summary.best.unwrap();
    assert_eq!(fs::read_to_string(run.join("best")).unwrap(), format!("step-{best:06}\n"));
    let steps = RunFolder::new(&run).checkpoint_steps().unwrap();
    assert!(steps.len() <= 3 && steps.ends_with(&[40]) && steps.contains(&best), "{steps:?}");

    let losses: Vec<f64> = timeless_metrics(&run)
        .iter()
        .filter_map(|line| if let Metrics::Validation(metrics) = line { Some(metrics.loss) } else { None })
        .collect();
    assert!(losses.last().unwrap() + 0.5 < losses[0], "{losses:?}");
    assert!(matches!(events[events.len() - 1], Event::Finished(_)));

    let latest = load_run(&run, Which::Latest, &Device::flex()).unwrap();
    assert_eq!((latest.step, latest.config.model.vocab, latest.warnings.len()), (40, 257, 0));
    assert_eq!(load_run(&run, Which::Best, &Device::flex()).unwrap().step, best);
    let by_path = load_run(&run.join("checkpoints/step-000040"), Which::Best, &Device::flex()).unwrap();
    assert_eq!(by_path.step, 40);
}

#[test]
fn an_interrupted_run_goes_on_bit_for_bit() {
    let others = vec!["train.ema=0.9", "model.layers=transformer", "train.recompute=blocks"];
    for changes in [vec![], others, vec!["train.precision=auto"]] {
        let place = Place::new();
        place.train("whole", &changes).unwrap();
        // Step 3 lies between two lines of metrics and between two checkpoints.
        let stop_at_three = |event: &Event, stop: &AtomicBool| {
            if matches!(event, Event::Validation(metrics) if metrics.step == 3) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let config = place.config(&changes);
        let (outcome, _) =
            observed(|events, stop| train(&config, &place.path("cut"), stop, events), stop_at_three).unwrap();
        assert!(matches!(&outcome, Outcome::Interrupted(summary) if summary.step == 3), "{outcome:?}");
        let (outcome, events) = place.resume("cut").unwrap();
        assert!(matches!(&outcome, Outcome::Finished(summary) if summary.step == 12), "{outcome:?}");
        assert_eq!(warnings(&events), [""; 0]);
        assert_same_run(&place.path("whole"), &place.path("cut"), 12);
    }
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let place = Place::new();
    place.train("whole", &["train.keep=9"]).unwrap();
    copy_folder(&place.path("whole"), &place.path("killed"));
    let checkpoints = place.path("killed/checkpoints");
    for step in [9, 12] {
        let _ = fs::remove_dir_all(checkpoints.join(format!("step-{step:06}")));
    }
    fs::create_dir(checkpoints.join(".tmp-step-000012")).unwrap();
    fs::write(checkpoints.join(".tmp-step-000012/model.safetensors"), "half").unwrap();
    place.resume("killed").unwrap();
    assert_same_run(&place.path("whole"), &place.path("killed"), 12);
}

#[test]
fn a_truncated_checkpoint_costs_the_steps_since_the_one_before() {
    let place = Place::new();
    place.train("whole", &["train.keep=9"]).unwrap();
    copy_folder(&place.path("whole"), &place.path("broken"));
    let model = place.path("broken/checkpoints/step-000012/model.safetensors");
    let bytes = fs::read(&model).unwrap();
    fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();

    let loaded = load_run(&place.path("broken"), Which::Latest, &Device::flex()).unwrap();
    assert!(loaded.step < 12 && loaded.warnings[0].contains("model.safetensors"), "{:?}", loaded.warnings);

    fs::write(place.path("broken/best"), "step-000012\n").unwrap();
    let best = load_run(&place.path("broken"), Which::Best, &Device::flex()).unwrap();
    assert!(best.step < 12 && best.warnings[0].contains("the best checkpoint is unusable"), "{:?}", best.warnings);

    let (_, events) = place.resume("broken").unwrap();
    let warnings = warnings(&events);
    assert!(warnings.len() == 1 && warnings[0].contains("model.safetensors"), "{warnings:?}");
    assert_same_run(&place.path("whole"), &place.path("broken"), 12);
}

#[test]
fn a_save_that_fails_keeps_the_last_checkpoint_and_says_so() {
    let place = Place::new();
    let run = place.path("run");
    let obstruct = |event: &Event, _: &AtomicBool| {
        if matches!(event, Event::Saved { step: 4, .. }) {
            fs::write(run.join("checkpoints/.tmp-step-000008"), "in the way").unwrap();
        }
    };
    let config = place.config(&["train.validate_every=0"]);
    let fault = observed(|events, stop| train(&config, &run, stop, events), obstruct).unwrap_err();
    assert!(fault.is_environment(), "{fault}");
    assert!(fault.to_string().contains("cannot save step 8 (the checkpoint of step 4 is kept)"), "{fault}");
    assert_eq!(load_run(&run, Which::Latest, &Device::flex()).unwrap().step, 4);
}

#[test]
fn divergence_stops_with_the_step_and_keeps_the_checkpoint() {
    let place = Place::new();
    let changes = [
        "train.learning_rate=1e30",
        "train.warmup=0",
        "train.clip=0",
        "train.checkpoint_every=1",
        "train.validate_every=0",
    ];
    let fault = place.train("run", &changes).unwrap_err();
    assert!(fault.is_check(), "{fault}");
    assert!(fault.to_string().contains("of step "), "{fault}");
    load_run(&place.path("run"), Which::Latest, &Device::flex()).unwrap();
}

#[test]
fn a_run_folder_has_one_process() {
    let place = Place::new();
    let run = place.path("run");
    let mut refused = None;
    let config = place.config(&[]);
    let intrude = |event: &Event, _: &AtomicBool| {
        if matches!(event, Event::Saved { step: 4, .. }) {
            refused = resume(&run, &Changes::default(), &AtomicBool::new(false), &mut |_: Event| {}).err();
        }
    };
    observed(|events, stop| train(&config, &run, stop, events), intrude).unwrap();
    let refused: Fault = refused.unwrap();
    assert!(refused.is_environment() && refused.to_string().contains("in use by another process"), "{refused}");
}

#[test]
fn a_finished_run_can_be_lengthened_but_keeps_its_model() {
    let place = Place::new();
    place.train("run", &[]).unwrap();
    let resume_with = |change: &str| {
        let changes = changes(&[change]);
        observed(|events, stop| resume(&place.path("run"), &changes, stop, events), |_, _| {})
    };
    let (outcome, _) = resume_with("train.steps=14").unwrap();
    assert_eq!(outcome.summary().step, 14);
    assert_eq!(RunFolder::new(place.path("run")).config().unwrap().train.steps, 14);
    let fault = resume_with("model.dim=32").unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("`model.dim` of a run can't change"), "{fault}");
}

#[test]
fn a_run_says_which_precision_it_took_and_keeps_it() {
    let place = Place::new();
    let (_, events) = place.train("auto", &["train.precision=auto"]).unwrap();
    let started =
        events.iter().find_map(|event| if let Event::Started(started) = event { Some(started) } else { None });
    let taken = started.unwrap().precision;
    assert_ne!(taken, PrecisionChoice::Auto);
    assert_eq!(RunFolder::new(place.path("auto")).config().unwrap().train.precision, taken);
    let environment = fs::read_to_string(place.path("auto/environment.json")).unwrap();
    assert!(environment.contains(&format!("\"precision\": \"{taken}\"")), "{environment}");
    let is_measured = Bf16Support::of(&Device::flex()) == Bf16Support::Present;
    assert_eq!(environment.contains("\"gflop_per_s\""), is_measured, "{environment}");
    place.train("f32", &[]).unwrap();
    let differs = timeless_metrics(&place.path("auto")) != timeless_metrics(&place.path("f32"));
    assert_eq!(differs, taken == PrecisionChoice::Bf16);
    let to_f32 = changes(&["train.precision=f32", "train.steps=13"]);
    let run = place.path("auto");
    let (_, events) = observed(|events, stop| resume(&run, &to_f32, stop, events), |_, _| {}).unwrap();
    let warned = warnings(&events).iter().any(|text| text.ends_with("precision f32 instead of bf16"));
    assert_eq!(warned, taken == PrecisionChoice::Bf16);
    // A run that goes on keeps what `auto` stands for here, not the word.
    let to_auto = changes(&["train.precision=auto", "train.steps=14"]);
    observed(|events, stop| resume(&run, &to_auto, stop, events), |_, _| {}).unwrap();
    assert_eq!(RunFolder::new(&run).config().unwrap().train.precision, taken);
    let environment = fs::read_to_string(place.path("auto/environment.json")).unwrap();
    assert!(environment.contains(&format!("\"precision\": \"{taken}\"")), "{environment}");
}

#[test]
fn weights_of_another_run_are_a_start_if_they_fit() {
    let place = Place::new();
    place.train("first", &["train.steps=40"]).unwrap();
    let from = format!("train.init_from={}", place.path("first").display());
    let first_loss = |name: &str| match &timeless_metrics(&place.path(name))[0] {
        Metrics::Train(metrics) => metrics.loss,
        other => panic!("{other:?}"),
    };
    place.train("second", &[&from, "train.log_every=1"]).unwrap();
    assert!(first_loss("second") + 0.5 < first_loss("first"));

    let fault = place.train("other", &[&from, "model.depth=1"]).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("model.depth is 2 there and 1 here"), "{fault}");
    let tokenizer = percept_data::Tokenizer::train_bpe(["some sheep and more"].into_iter(), 257).unwrap();
    tokenizer.save(place.path("tokenizer.json")).unwrap();
    let bpe = format!("data.tokenizer={}", place.path("tokenizer.json").display());
    let fault = place.train("another", &[&from, &bpe]).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("tokenizer mismatch"), "{fault}");
}

#[test]
fn impossible_starts_are_refused() {
    let place = Place::new();
    place.train("run", &["train.steps=1"]).unwrap();
    let fault = place.train("run", &[]).unwrap_err();
    assert!(fault.is_usage() && fault.hint_text().unwrap().contains("percept resume"), "{fault}");
    let fault = place.train("texts/00.txt/run", &[]).unwrap_err();
    assert!(fault.is_environment() && fault.to_string().contains("00.txt/run"), "{fault}");
    let fault = place.train("none", &["data.sources=[\"no/such/text\"]"]).unwrap_err();
    assert!(fault.to_string().contains("no/such/text") && !place.path("none").exists(), "{fault}");
    let fault = place.resume("nowhere").unwrap_err();
    assert!(fault.is_environment() && fault.to_string().contains("does not exist"), "{fault}");
    let fault = load_run(&place.path("texts"), Which::Latest, &Device::flex()).unwrap_err();
    assert!(fault.is_environment() && fault.to_string().contains("is no run folder"), "{fault}");
    let fault = load_run(&place.path("run"), Which::Step(7), &Device::flex()).unwrap_err();
    assert!(fault.to_string().contains("no checkpoint of step 7"), "{fault}");
    let fault = place.try_config(&["model.segment=64"]).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("segment"), "{fault}");
}

#[test]
fn models_of_different_kinds_read_the_same_text_and_validate_on_the_same_targets() {
    let place = Place::new();
    let result = |layers: &str| {
        let layers_key = format!("model.layers={layers}");
        let changes = [&layers_key, "model.latents=16", "train.validation_stride=16"];
        place.train(layers, &changes).unwrap();
        let (mut orders, mut targets) = (Vec::new(), Vec::new());
        for line in timeless_metrics(&place.path(layers)) {
            match line {
                Metrics::Train(metrics) => orders.push((metrics.step, metrics.tokens, metrics.order_hash)),
                Metrics::Validation(metrics) => targets.push(metrics.targets),
            }
        }
        (orders, targets)
    };
    let llp = result("llp");
    assert!(llp.0[0].2.len() == 64 && llp.0[0].2 != llp.0[1].2 && llp.1[0] >= 128, "{llp:?}");
    assert_eq!(result("perceiver-ar"), llp);
    assert_eq!(result("transformer"), llp);
}

#[test]
fn a_time_limit_ends_a_run_after_the_step_in_which_it_passes() {
    let place = Place::new();
    let (outcome, _) = place.train("run", &["train.seconds=1e-9"]).unwrap();
    assert!(matches!(&outcome, Outcome::Finished(summary) if summary.step == 1), "{outcome:?}");
    assert!(timeless_metrics(&place.path("run")).iter().any(|line| matches!(line, Metrics::Validation(_))));
    let (again, _) = place.resume("run").unwrap();
    assert_eq!(again.summary().step, 1);
    let no_limit = changes(&["train.seconds=0"]);
    let (longer, _) = observed(|events, stop| resume(&place.path("run"), &no_limit, stop, events), |_, _| {}).unwrap();
    assert_eq!(longer.summary().step, 12);
}
