//! Runs with another objective than the next token.

use percept_data::{Dataset, Share, TokenBatch};
use percept_train::{Alone, Event, Objective, Source, TextSource};

use crate::masked::{MaskedTask, MaskedTokens};
use crate::rank_runs::text_config;
use crate::{checkpoint, run};

#[test]
fn masked_tokens_are_learned_and_a_cut_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let config = text_config(folder.path(), 2);
    let dataset = Dataset::open(&config.data, None, &mut |_| {}).unwrap();
    let source = || TextSource::new(&dataset, &config, MaskedTokens, Share::default()).unwrap();
    let task = || MaskedTask { source: source(), judged_on: source().next_batch().unwrap() };
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    let (_, events) = run(task(), &257, &config.train, &whole, (&Alone, None)).unwrap();
    let losses: Vec<f64> = events
        .iter()
        .filter_map(|event| if let Event::Validation(metrics) = event { Some(metrics.loss) } else { None })
        .collect();
    assert!(losses[2] < losses[0] && losses[0] < 257f64.ln(), "{losses:?}");
    run(task(), &257, &config.train, &cut, (&Alone, Some(6))).unwrap();
    run(task(), &257, &config.train, &cut, (&Alone, None)).unwrap();
    assert!(checkpoint(&whole, 12) == checkpoint(&cut, 12));
    assert_eq!(std::fs::read_to_string(whole.join("samples/step-000012.txt")).unwrap(), "257 tokens");
}

/// Nothing but the draw of each batch.
struct Draws;

impl Objective for Draws {
    type Batch = u64;

    fn batch(&self, _windows: TokenBatch, draw: u64) -> u64 {
        draw
    }
}

#[test]
fn every_batch_has_a_draw_of_its_own_which_comes_again_from_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = text_config(folder.path(), 2);
    let dataset = Dataset::open(&config.data, None, &mut |_| {}).unwrap();
    let source = || TextSource::new(&dataset, &config, Draws, Share::default()).unwrap();
    let mut first = source();
    let mut draws: Vec<u64> = (0..30).map(|_| first.next_batch().unwrap()).collect();
    let place = first.position().unwrap();
    let mut second = source();
    second.restore(&place).unwrap();
    assert_eq!(first.next_batch().unwrap(), second.next_batch().unwrap());
    draws.dedup();
    assert!(draws.len() == 30 && draws.is_sorted(), "{draws:?}");
}
