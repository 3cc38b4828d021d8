//! Rounds: what is read and written when, and what a panic takes with it.

use std::net::IpAddr;
use std::sync::Mutex;

use percept_data::Tokenizer;
use percept_generate::{GenerationConfig, Told};
use percept_model::{LanguageModel, ModelConfig};
use tokio::sync::mpsc::{self, Receiver};

use super::*;
use crate::engine::Wanted;
use crate::log::LogLine;

pub(super) fn worker() -> (Worker, Arc<Mutex<Vec<LogLine>>>) {
    worker_of_depth(1)
}

fn worker_of_depth(depth: usize) -> (Worker, Arc<Mutex<Vec<LogLine>>>) {
    let layers = "llp(segment=8)".into();
    let config = ModelConfig { layers, vocab: 257, dim: 16, depth, heads: 2, context: 32, ..Default::default() };
    let model = Arc::new(LanguageModel::new(&config, 3, &Default::default()).unwrap().into());
    let served = ServedModel { name: "tiny".into(), model, tokenizer: Tokenizer::bytes() };
    let lines: Arc<Mutex<Vec<LogLine>>> = Arc::default();
    let told = lines.clone();
    let log = Arc::new(move |line: &LogLine| told.lock().unwrap().push(line.clone()));
    let shared = (Arc::new(Queue::new(9, None)), Arc::default());
    (Worker::new(served, &Limits { streams: 2, piece: 4, ..Limits::default() }, shared, log), lines)
}

pub(super) fn ask(worker: &Worker, prompt: usize, tokens: usize) -> Receiver<(usize, Event)> {
    let (sender, events) = mpsc::channel(64);
    let client = Client::Address(IpAddr::from([127, 0, 0, 1]));
    let channel = Channel::new((0, client), AtEnd::Drop, sender, Instant::now() + Duration::from_secs(1000));
    let told = Told::Written { alternatives: 0 };
    let config = GenerationConfig { tokens, told, ..Default::default() };
    let (start, prefixes, at_end) = (None, Prefixes::default(), AtEnd::Drop);
    let job = Job { wanted: Wanted { prompt: vec![97; prompt], config, start, prefixes, at_end }, channel };
    worker.queue.push(client, vec![job]).unwrap();
    events
}

#[test]
fn a_panic_ends_the_texts_on_their_way_and_nothing_else() {
    let (mut worker, lines) = worker();
    let (mut written, mut read, mut waiting) = (ask(&worker, 1, 5), ask(&worker, 9, 5), ask(&worker, 1, 5));
    worker.round();
    worker.round();
    assert_eq!((worker.reading.len(), worker.writing.len(), worker.queue.len()), (1, 1, 1));
    worker.caught(|_| panic!("a bug"));
    for events in [&mut read, &mut written] {
        let last = std::iter::from_fn(|| events.try_recv().ok()).last();
        assert!(matches!(&last, Some((0, Event::Failed(Failure::Fault(fault)))) if !fault.is_usage()), "{last:?}");
    }
    let lines = lines.lock().unwrap();
    let [LogLine::Panic { place, message, .. }] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((place.as_str(), message.as_str()), ("engine tiny", "a bug"));
    // The one that waited is written.
    (0..8).for_each(|_| worker.caught(Worker::round));
    let last = std::iter::from_fn(|| waiting.try_recv().ok()).last();
    assert!(matches!(last, Some((0, Event::Ended { tokens: 5, stopped: false, .. }))), "{last:?}");
}

#[test]
fn a_prompt_is_read_a_piece_at_a_time_between_tokens() {
    let (mut worker, _) = worker();
    let mut short = ask(&worker, 1, 50);
    worker.round();
    let mut tokens = || std::iter::from_fn(|| short.try_recv().ok()).count();
    tokens();
    let _long = ask(&worker, 20, 5);
    for position in [4, 8, 12, 16] {
        // Nothing is written while a piece is read.
        worker.wrote_for = Duration::from_secs(1000);
        worker.round();
        let (client, reading) = worker.reading.pop().unwrap();
        assert_eq!((reading.stream.session().position(), tokens()), (position, 1));
        worker.reading.put_back(client, reading);
    }
    assert_eq!(worker.metrics.read.get(), 1 + 16);
    worker.wrote_for = Duration::from_secs(1000);
    worker.round();
    assert_eq!((worker.writing.len(), tokens()), (2, 1));
}

#[test]
fn a_piece_that_takes_long_is_read_between_tokens() {
    let (mut worker, _) = worker_of_depth(2);
    let mut short = ask(&worker, 1, 50);
    worker.round();
    let _long = ask(&worker, 40, 5);
    let mut tokens = || std::iter::from_fn(|| short.try_recv().ok()).count();
    tokens();
    worker.piece = 20;
    // As if writing took no time: a token after the first layer, and one after the piece.
    worker.wrote_for = Duration::ZERO;
    worker.round();
    let first = tokens();
    // As if it took very long: the piece is read without a break.
    worker.wrote_for = Duration::from_secs(1000);
    worker.round();
    assert_eq!((first, tokens(), worker.metrics.read.get()), (2, 1, 41));
}

#[test]
fn tokens_are_counted_and_scores_are_none() {
    let (mut worker, _) = worker();
    let _events = (ask(&worker, 1, 3), ask(&worker, 1, 0));
    (0..6).for_each(|_| worker.round());
    assert_eq!((worker.metrics.written.get(), worker.metrics.ended.get(), worker.active()), (3, 2, 0));
}
