//! Runs of encoders that tell masked tokens.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use percept_data::{DataConfig, Dataset, Share};
use percept_model::encoder::MaskedBatch;
use percept_train::{
    Changes, Event, MaskedText, Metrics, OptimizerKind, Outcome, Override, Recompute, RunConfig, RunFolder, Source,
    Sources, TaskKind, TextSource, Warmup, load_encoder, load_run, read_metrics, resolve, resolve_preset, resume,
    task_of, train,
};

/// A small run on text that repeats itself.
fn config(folder: &Path) -> RunConfig {
    let texts = folder.join("texts");
    fs::create_dir_all(&texts).unwrap();
    for index in 0..12 {
        let text: String = (0..9 + index).map(|line| format!("{index} and {} sheep\n", line % 7)).collect();
        fs::write(texts.join(format!("{index:02}.txt")), text).unwrap();
    }
    let mut config = resolve_preset("groupbert-tiny").unwrap();
    config.data = DataConfig::from_paths([texts.display().to_string()]);
    config.data.cache = Some(folder.join("cache"));
    config.data.split.validation = 0.2;
    let encoder = &mut config.encoder;
    (encoder.dim, encoder.depth, encoder.heads, encoder.context, encoder.conv_group) = (16, 2, 2, 33, 8);
    let train = &mut config.train;
    (train.steps, train.batch, train.accumulate, train.warmup, train.learning_rate) = (24, 4, 2, 3, 0.02);
    (train.log_every, train.validate_every, train.checkpoint_every, train.keep) = (2, 8, 8, 9);
    train.device = "cpu".into();
    config
}

/// Trains until a step is done.
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
    let ways = [
        ("kept", Recompute::Nothing, OptimizerKind::Adamw, Warmup::Linear),
        ("again", Recompute::Blocks, OptimizerKind::Lamb, Warmup::SquareRoot),
    ];
    for (name, recompute, optimizer, warmup_shape) in ways {
        let mut config = config(folder.path());
        let train = &mut config.train;
        (train.recompute, train.optimizer, train.warmup_shape) = (recompute, optimizer, warmup_shape);
        let [whole, cut] = ["whole", "cut"].map(|run| folder.path().join(name).join(run));
        assert!(matches!(train_until(&config, &whole, 99), Outcome::Finished(_)));
        assert!(matches!(train_until(&config, &cut, 10), Outcome::Interrupted(summary) if summary.step == 10));
        let outcome = resume(&cut, &Changes::default(), &AtomicBool::new(false), &mut |_| ()).unwrap();
        assert!(matches!(outcome, Outcome::Finished(_)));
        assert_eq!(lines(&whole), lines(&cut));
        assert!(checkpoint(&whole) == checkpoint(&cut));

        let lines = lines(&whole);
        let validated = |line: &Metrics| if let Metrics::Validation(v) = line { Some(v.loss) } else { None };
        let losses: Vec<f64> = lines.iter().filter_map(validated).collect();
        assert!(losses.len() == 3 && losses[2] < losses[0] && losses[0] < 258f64.ln(), "{losses:?}");
        let Metrics::Train(first) = &lines[0] else { panic!("{lines:?}") };
        // A masked token is no byte of text by itself; about a seventh of what is read is asked.
        assert_eq!(first.bits_per_byte, None);
        let share = first.targets as f64 / first.tokens as f64;
        assert!((0.05..0.3).contains(&share), "{share}");
    }
}

#[test]
fn the_folder_is_read_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.train.steps = 2;
    let run = folder.path().join("run");
    train_until(&config, &run, 99);
    let text = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(text.contains("task = \"masked\"") && text.contains("[encoder]") && text.contains("[masking]"), "{text}");
    assert!(!text.contains("[model]") && !text.contains("[sample]") && text.contains("vocab = 258"), "{text}");
    assert_eq!(task_of(&run, Default::default()).unwrap(), TaskKind::Masked);
    let loaded = load_encoder(&run, Default::default(), &Default::default()).unwrap();
    assert_eq!((loaded.step, loaded.config.encoder, loaded.warnings), (2, loaded.model.config().clone(), vec![]));
    let fault = load_run(&run, Default::default(), &Default::default()).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().ends_with("holds an encoder, not a language model"), "{fault}");

    // Another run begins from its weights, where the model is the same.
    config.train.init_from = Some(run);
    (config.train.learning_rate, config.train.weight_decay) = (1e-9, 0.0);
    let next = folder.path().join("next");
    assert!(matches!(train_until(&config, &next, 99), Outcome::Finished(_)));
    let begun = load_encoder(&next, Default::default(), &Default::default()).unwrap().model;
    let moved = begun.embeddings.word.val() - loaded.model.embeddings.word.val();
    assert!(moved.abs().max().into_scalar::<f32>() < 1e-6);
    config.encoder.depth = 1;
    let fault = train(&config, &folder.path().join("other"), &AtomicBool::new(false), &mut |_| ()).unwrap_err();
    assert!(fault.to_string().contains("encoder.depth is 2 there and 1 here"), "{fault}");
}

#[test]
fn masks_differ_from_batch_to_batch_and_come_again_from_a_place_and_over_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let dataset = Dataset::open(&config.data, None, &mut |_| {}).unwrap();
    let source = |config: &RunConfig, share: Share| {
        TextSource::new(&dataset, config, MaskedText::new(&dataset, config, share), share).unwrap()
    };
    let mut first = source(&config, Share::default());
    let batches: Vec<_> = (0..6).map(|_| first.next_batch().unwrap()).collect();
    let place = first.position().unwrap();
    let mut second = source(&config, Share::default());
    second.restore(&place).unwrap();
    assert_eq!(first.next_batch().unwrap(), second.next_batch().unwrap());
    // Of sequences of one length, in the same row of several batches, where only chance chooses.
    let mut single = config.clone();
    single.masking.whole_words = false;
    let mut single = source(&single, Share::default());
    let full = (0..12).map(|_| single.next_batch().unwrap()).filter(|batch| batch.sequences.lengths[0] == 33);
    let of_the_first_row = |batch: MaskedBatch| {
        assert_eq!(batch.sequences.rows, 33);
        batch.asked.into_iter().filter(|at| *at < 33).collect::<Vec<_>>()
    };
    let mut asked: Vec<_> = full.map(of_the_first_row).collect();
    let drawn = asked.len();
    asked.sort();
    asked.dedup();
    assert!(drawn > 5 && asked.len() == drawn, "{asked:?}");
    // Two processes with half of each batch see what one sees.
    let mut half = config.clone();
    half.train.batch = 2;
    let halves = [0, 1].map(|rank| source(&half, Share { rank, world: 2 }).next_batch().unwrap());
    let labels = [&halves[0].labels[..], &halves[1].labels].concat();
    assert_eq!(labels, batches[0].labels);
}

#[test]
fn an_encoder_has_no_keys_of_a_language_model_and_the_other_way_round() {
    let refusal = |preset: &str, set: &str| {
        let overrides = vec![Override::set(set).unwrap()];
        resolve(&Sources { preset: Some(preset.into()), file: None, overrides }).unwrap_err().to_string()
    };
    assert_eq!(
        refusal("groupbert-tiny", "model.dim=64"),
        "--set model.dim=64: `model.dim` says nothing where task = \"masked\""
    );
    assert!(refusal("llp-tiny", "encoder.dim=64").contains("says nothing where task = \"next-token\""));
    assert!(refusal("groupbert-tiny", "masking.rate=2").contains("masking.rate = 2 is out of range"));
    assert!(refusal("groupbert-tiny", "encoder.context=1").contains("encoder.context = 1 is too small"));
    // A file that says what it is about has another preset below it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "task = \"masked\"\n[train]\nsteps = 7\n").unwrap();
    let config = resolve(&Sources { file: Some(file), ..Sources::default() }).unwrap();
    assert_eq!(config.encoder, resolve_preset("groupbert-small").unwrap().encoder);
    assert_eq!((config.train.steps, config.train.warmup), (7, 400));
}
