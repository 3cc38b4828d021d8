//! Runs of order-agnostic models.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use percept_data::DataConfig;
use percept_model::config::Objective;
use percept_train::{Changes, Event, Metrics, Outcome, RunConfig, RunFolder, load_run, read_metrics, resume, train};

/// A small run on text that repeats itself.
fn config(folder: &Path) -> RunConfig {
    let texts = folder.join("texts");
    fs::create_dir_all(&texts).unwrap();
    for index in 0..12 {
        let text: String = (0..40).map(|line| format!("{index} and {} sheep\n", line % 7)).collect();
        fs::write(texts.join(format!("{index:02}.txt")), text).unwrap();
    }
    let mut config = percept_train::resolve_preset("llp-tiny").unwrap();
    config.data = DataConfig::from_paths([texts.display().to_string()]);
    config.data.cache = Some(folder.join("cache"));
    config.data.split.validation = 0.2;
    let model = &mut config.model;
    model.objective = Objective::OrderAgnostic;
    (model.layers, model.dim, model.depth, model.heads) = ("rwkv4, llp(segment=8)".into(), 16, 2, 2);
    (model.context, model.attention_dropout, model.feed_forward_dropout) = (32, 0.1, 0.1);
    let train = &mut config.train;
    (train.steps, train.batch, train.accumulate, train.warmup, train.learning_rate) = (24, 2, 2, 3, 0.02);
    (train.log_every, train.validate_every, train.checkpoint_every, train.keep) = (2, 8, 8, 9);
    (train.device, config.sample.tokens) = ("cpu".into(), 4);
    config
}

/// Trains until a step is done; the last step's number.
fn train_until(config: &RunConfig, run: &Path, last: u64) -> Outcome {
    let stop = AtomicBool::new(false);
    let mut observer = |event: Event| {
        if matches!(&event, Event::Step(metrics) if metrics.step >= last) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    train(config, run, &stop, &mut observer).unwrap()
}

fn lines(run: &Path) -> Vec<Metrics> {
    let mut lines = read_metrics(&RunFolder::new(run).metrics_path()).unwrap();
    for line in &mut lines {
        if let Metrics::Train(metrics) = line {
            (metrics.seconds, metrics.tokens_per_second) = (0.0, 0.0);
        }
    }
    lines
}

fn checkpoint(run: &Path) -> [Vec<u8>; 2] {
    let folder = run.join("checkpoints/step-000024");
    ["model", "optimizer"].map(|file| fs::read(folder.join(format!("{file}.safetensors"))).unwrap())
}

#[test]
fn a_run_that_is_cut_goes_on_bit_for_bit_and_learns() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let [whole, cut]: [PathBuf; 2] = ["whole", "cut"].map(|name| folder.path().join(name));
    assert!(matches!(train_until(&config, &whole, 99), Outcome::Finished(_)));
    assert!(matches!(train_until(&config, &cut, 10), Outcome::Interrupted(summary) if summary.step == 10));
    let outcome = resume(&cut, &Changes::default(), &AtomicBool::new(false), &mut |_| ()).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
    assert_eq!(lines(&whole), lines(&cut));
    assert!(checkpoint(&whole) == checkpoint(&cut));

    // It is judged by the next token, as all language models are.
    let lines = lines(&whole);
    let validated = |line: &Metrics| if let Metrics::Validation(v) = line { Some(v.loss) } else { None };
    let losses: Vec<f64> = lines.iter().filter_map(validated).collect();
    assert!(losses.len() == 3 && losses[2] < losses[0], "{losses:?}");
    let Metrics::Train(first) = &lines[0] else { panic!("{lines:?}") };
    assert_eq!(first.bits_per_byte, None);
    // Four windows forward and four backward in each step.
    assert_eq!(first.tokens, 2 * 2 * 4 * 32);
    let loaded = load_run(&whole, Default::default(), &Default::default()).unwrap();
    assert_eq!(loaded.model.config().objective, Objective::OrderAgnostic);
}

#[test]
fn it_begins_from_a_model_of_the_next_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.train.steps = 2;
    let plain = folder.path().join("plain");
    let mut first = config.clone();
    first.model.objective = Objective::NextToken;
    train_until(&first, &plain, 99);
    let text = fs::read_to_string(plain.join("config.toml")).unwrap();
    assert!(!text.contains("objective") && !text.contains("order_agnostic"), "{text}");
    config.train.init_from = Some(plain);
    (config.train.learning_rate, config.train.weight_decay) = (1e-9, 0.0);
    let run = folder.path().join("run");
    assert!(matches!(train_until(&config, &run, 99), Outcome::Finished(_)));
    let weights =
        |run: &str| load_run(&folder.path().join(run), Default::default(), &Default::default()).unwrap().model;
    let value = |model: percept_model::LanguageModel| model.embedding.weight.val();
    let moved: f32 = (value(weights("run")) - value(weights("plain"))).abs().max().into_scalar();
    assert!(moved < 1e-6, "{moved}");
    let text = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(text.contains("objective = \"order-agnostic\""), "{text}");
}
