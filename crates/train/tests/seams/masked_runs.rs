//! Runs with another objective than the next token.

use percept_data::{Dataset, Share};
use percept_train::{Alone, Event, Source, TextSource};

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

#[test]
fn batches_of_an_objective_differ_from_draw_to_draw_and_come_again_from_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = text_config(folder.path(), 2);
    let dataset = Dataset::open(&config.data, None, &mut |_| {}).unwrap();
    let mut source = TextSource::new(&dataset, &config, MaskedTokens, Share::default()).unwrap();
    let first = source.next_batch().unwrap();
    let place = source.position().unwrap();
    let second = source.next_batch().unwrap();
    let mut other = TextSource::new(&dataset, &config, MaskedTokens, Share::default()).unwrap();
    other.restore(&place).unwrap();
    assert!(other.next_batch().unwrap() == second && first != second);
}
