//! Two ranks train what one process with twice the batch trains; one of them writes.

use std::path::{Path, PathBuf};
use std::thread;

use percept_data::{DataConfig, Dataset, Share};
use percept_model::LanguageModel;
use percept_train::{
    Alone, Event, LanguageTask, Metrics, NextToken, Outcome, Ranks, RunConfig, RunFolder, StepMetrics, TextSource,
    TrainConfig, read_metrics,
};

use crate::centred::CentredTask;
use crate::threads::ThreadRank;
use crate::{checkpoint, model_at, run, train_config};

/// Runs `each(rank, ranks, folder)` on two threads, each with a folder of its own: what rank 1 would write is seen.
fn on_two_ranks<R: Send>(folder: &Path, each: impl Fn(usize, &ThreadRank, PathBuf) -> R + Sync) -> [R; 2] {
    let each = &each;
    thread::scope(|scope| {
        let threads = ThreadRank::world(2).into_iter().enumerate();
        let threads: Vec<_> = threads
            .map(|(rank, ranks)| scope.spawn(move || each(rank, &ranks, folder.join(format!("rank-{rank}")))))
            .collect();
        let results: Vec<R> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        results.try_into().ok().unwrap()
    })
}

fn assert_close(one: &Path, other: &Path, step: u64) {
    let (one, other) = (model_at(one, step), model_at(other, step));
    assert_eq!(one.len(), other.len());
    for (path, values) in &one {
        let size = values.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
        for (a, b) in values.iter().zip(&other[path]) {
            assert!((a - b).abs() < 1e-3 * size, "{path}: {a} is not {b}");
        }
    }
}

#[test]
fn two_ranks_train_a_model_with_a_buffer_as_one_and_rank_0_alone_writes() {
    let folder = tempfile::tempdir().unwrap();
    let train = train_config();
    let alone = folder.path().join("alone");
    run(CentredTask::new(6, (0, 1)), &4, &train, &alone, (&Alone, None)).unwrap();
    let events = on_two_ranks(folder.path(), |rank, ranks, folder| {
        run(CentredTask::new(6, (rank, 2)), &4, &train, &folder, (ranks, None)).unwrap().1
    });
    assert_close(&alone, &folder.path().join("rank-0"), 12);
    assert!(events[1].is_empty() && !folder.path().join("rank-1").exists(), "{:?}", events[1]);
    assert!(matches!(events[0].last(), Some(Event::Finished(_))));
}

#[test]
fn ranks_stop_together_and_go_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let train = train_config();
    let whole = folder.path().join("whole");
    on_two_ranks(&whole, |rank, ranks, folder| {
        run(CentredTask::new(6, (rank, 2)), &4, &train, &folder, (ranks, None)).unwrap()
    });
    // Rank 1 alone is asked to stop, before the first step; from then on both have one folder.
    let cut = folder.path().join("cut");
    let outcomes = on_two_ranks(&cut, |rank, ranks, _| {
        let stop_at = (rank == 1).then_some(0);
        run(CentredTask::new(6, (rank, 2)), &4, &train, &cut, (ranks, stop_at)).unwrap().0
    });
    for outcome in outcomes {
        assert!(matches!(&outcome, Outcome::Interrupted(summary) if summary.step == 1), "{outcome:?}");
    }
    on_two_ranks(&cut, |rank, ranks, _| run(CentredTask::new(6, (rank, 2)), &4, &train, &cut, (ranks, None)).unwrap());
    assert!(checkpoint(&whole.join("rank-0"), 12) == checkpoint(&cut, 12));
}

#[test]
fn a_rank_that_is_gone_ends_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let outcomes = on_two_ranks(folder.path(), |rank, ranks, folder| {
        // Rank 1 is refused before it begins.
        let train = TrainConfig { accumulate: 2 * (1 - rank), ..train_config() };
        run(CentredTask::new(6, (rank, 2)), &4, &train, &folder, (ranks, None))
    });
    let [first, second] = outcomes.map(|outcome| outcome.unwrap_err());
    assert!(second.is_usage() && first.is_environment(), "{first}; {second}");
}

/// Text whose windows have unequal numbers of targets, and a small model for it.
pub(crate) fn text_config(folder: &Path, batch: usize) -> RunConfig {
    let texts = folder.join("texts");
    std::fs::create_dir_all(&texts).unwrap();
    for index in 0..12 {
        let text = (0..3 + index).map(|line| format!("{} sheep and {index} more\n", line * index)).collect::<String>();
        std::fs::write(texts.join(format!("{index:02}.txt")), text).unwrap();
    }
    let data = DataConfig::from_paths([texts.display().to_string()]);
    let train = TrainConfig { batch, weight_decay: 0.1, learning_rate: 0.01, ..train_config() };
    let mut config = RunConfig { data, train, ..RunConfig::default() };
    config.data.cache = Some(folder.join("cache"));
    config.data.split.validation = 0.2;
    let model = &mut config.model;
    (model.vocab, model.dim, model.depth, model.heads) = (257, 16, 2, 2);
    (model.context, model.mixers.llp.segment) = (32, 8);
    (model.attention_dropout, model.feed_forward_dropout) = (0.0, 0.0);
    config.sample.tokens = 4;
    config
}

fn train_text(config: &RunConfig, folder: &Path, ranks: &dyn Ranks) {
    let dataset = Dataset::open(&config.data, None, &mut |_| {}).unwrap();
    let share = Share { rank: ranks.rank(), world: ranks.world() };
    let source = TextSource::new(&dataset, config, NextToken, share).unwrap();
    let task = LanguageTask::new(config.clone(), dataset, source);
    run(task, &config.model, &config.train, folder, (ranks, None)).unwrap();
}

fn steps(run: &Path) -> Vec<StepMetrics> {
    let lines = read_metrics(&RunFolder::new(run).metrics_path()).unwrap();
    lines.into_iter().filter_map(|line| if let Metrics::Train(step) = line { Some(step) } else { None }).collect()
}

#[test]
fn two_ranks_train_a_language_model_as_one_on_the_same_windows() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone");
    train_text(&text_config(folder.path(), 2), &alone, &Alone);
    let halves = text_config(folder.path(), 1);
    on_two_ranks(folder.path(), |_, ranks, run| train_text(&halves, &run, ranks));
    let together = folder.path().join("rank-0");
    assert!(!folder.path().join("rank-1").exists());
    let (one, two) = (steps(&alone), steps(&together));
    let counts =
        |steps: &[StepMetrics]| steps.iter().map(|step| (step.step, step.tokens, step.targets)).collect::<Vec<_>>();
    assert_eq!(counts(&one), counts(&two));
    assert!(one.iter().any(|step| step.targets < step.tokens), "some windows have fewer targets");
    for (one, two) in one.iter().zip(&two) {
        assert!((one.loss - two.loss).abs() < 1e-4 && (one.gradient_norm - two.gradient_norm).abs() < 1e-3);
    }
    assert_close(&alone, &together, 12);
    let loaded =
        percept_train::load_run(&together.join("checkpoints/step-000012"), Default::default(), &Default::default());
    let model: LanguageModel = loaded.unwrap().model;
    assert_eq!(model.config().dim, 16);
}
