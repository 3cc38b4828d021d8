//! The trainer with models, batches, objectives and ranks that it does not know.

mod centred;
mod masked;
mod masked_runs;
mod rank_runs;
mod threads;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use percept_fault::Result;
use percept_model::Trainable;
use percept_train::{Alone, Control, Event, Outcome, Ranks, RunFolder, Task, TrainConfig, train_task};
use safetensors::SafeTensors;

use centred::{Centred, CentredTask};

/// A short run.
fn train_config() -> TrainConfig {
    TrainConfig {
        steps: 12,
        accumulate: 2,
        warmup: 2,
        learning_rate: 0.05,
        weight_decay: 0.5,
        log_every: 2,
        validate_every: 4,
        checkpoint_every: 5,
        keep: 9,
        device: "cpu".to_owned(),
        ..TrainConfig::default()
    }
}

/// Trains until `stop_at`, if that comes; the events too.
fn run<T: Task>(
    task: T,
    model: &<T::Model as Trainable>::Config,
    train: &TrainConfig,
    folder: &Path,
    (ranks, stop_at): (&dyn Ranks, Option<u64>),
) -> Result<(Outcome, Vec<Event>)> {
    let (stop, mut events) = (AtomicBool::new(stop_at == Some(0)), Vec::new());
    let mut observer = |event: Event| {
        if matches!(&event, Event::Step(metrics) if Some(metrics.step) == stop_at) {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        events.push(event);
    };
    let control = Control { stop: &stop, observer: &mut observer, ranks };
    let outcome = train_task(task, model, train, folder, control)?;
    Ok((outcome, events))
}

/// The tensors of a file.
fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    file.iter().map(|(name, view)| (name.to_owned(), values(view.data()))).collect()
}

/// Weights and moments at a step, as bytes.
fn checkpoint(run: &Path, step: u64) -> [Vec<u8>; 2] {
    ["model", "optimizer"]
        .map(|file| fs::read(run.join(format!("checkpoints/step-{step:06}/{file}.safetensors"))).unwrap())
}

fn model_at(run: &Path, step: u64) -> BTreeMap<String, Vec<f32>> {
    tensors(&run.join(format!("checkpoints/step-{step:06}/model.safetensors")))
}

#[test]
fn a_model_with_a_running_mean_is_trained_saved_and_resumed_bit_for_bit() {
    for ema in [0.0, 0.9] {
        let folder = tempfile::tempdir().unwrap();
        let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
        let train = TrainConfig { ema, ..train_config() };
        let task = || CentredTask::new(6, (0, 1));
        run(task(), &4, &train, &whole, (&Alone, None)).unwrap();
        // Step 6 lies between two lines of checkpoints.
        let (outcome, _) = run(task(), &4, &train, &cut, (&Alone, Some(6))).unwrap();
        assert!(matches!(&outcome, Outcome::Interrupted(summary) if summary.step == 6), "{outcome:?}");
        let (outcome, events) = run(task(), &4, &train, &cut, (&Alone, None)).unwrap();
        assert!(matches!(&outcome, Outcome::Finished(summary) if summary.step == 12), "{outcome:?}");
        assert!(events.iter().any(|event| matches!(event, Event::Started(started) if started.step == 6)));
        assert!(checkpoint(&whole, 12) == checkpoint(&cut, 12), "ema {ema}");
        assert!(model_at(&whole, 12)["mean"].iter().all(|mean| mean.abs() > 0.1));
        let losses: Vec<f64> = events
            .iter()
            .filter_map(|event| if let Event::Validation(metrics) = event { Some(metrics.loss) } else { None })
            .collect();
        assert!(losses.len() == 2 && losses[1] < losses[0], "{losses:?}");
        assert_eq!(RunFolder::new(&cut).checkpoint_steps().unwrap(), [4, 5, 6, 8, 10, 12]);
    }
}

#[test]
fn a_buffer_is_set_by_the_model_alone() {
    let folder = tempfile::tempdir().unwrap();
    let train = TrainConfig { steps: 1, accumulate: 1, ema: 0.9, learning_rate: 0.1, warmup: 0, ..train_config() };
    let mut task = CentredTask::new(6, (0, 1));
    let first = percept_train::Source::next_batch(task.source()).unwrap();
    run(CentredTask::new(6, (0, 1)), &4, &train, folder.path(), (&Alone, None)).unwrap();
    // No decay, no step of the optimizer, no average with the value before.
    let means = first.mean();
    let expected: Vec<f32> = means.iter().map(|mean| mean * centred::MOMENTUM).collect();
    let found = &model_at(folder.path(), 1)["mean"];
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} is not {expected:?}");
    let optimizer = tensors(&folder.path().join("checkpoints/step-000001/optimizer.safetensors"));
    assert!(optimizer.contains_key("first.weight") && !optimizer.contains_key("first.mean"), "{optimizer:?}");
}

#[test]
fn the_checkpoint_of_another_model_or_other_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let train = train_config();
    run(CentredTask::new(6, (0, 1)), &4, &train, folder.path(), (&Alone, Some(2))).unwrap();
    let fault = run(CentredTask::new(6, (0, 1)), &5, &train, folder.path(), (&Alone, None)).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("another model"), "{fault}");
    let fault = run(CentredTask::new(7, (0, 1)), &4, &train, folder.path(), (&Alone, None)).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().contains("other data"), "{fault}");
}

#[test]
fn buffers_are_no_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let train = TrainConfig { steps: 1, ..train_config() };
    let (_, events) = run(CentredTask::new(6, (0, 1)), &4, &train, folder.path(), (&Alone, None)).unwrap();
    let Event::Started(started) = &events[0] else { panic!("{events:?}") };
    assert_eq!(started.parameters, 4);
    assert_eq!(Centred::fresh(&4, 1, &Default::default()).unwrap().config(), &4);
}
