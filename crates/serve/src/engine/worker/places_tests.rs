//! Whose turn it is, who waits for a reader, and who is let go.

use std::net::IpAddr;

use tokio::sync::mpsc::Receiver;

use super::tests::{ask, worker};
use super::*;

/// As `ask`, for a client of this number.
fn ask_as(worker: &Worker, client: u8, prompt: usize, tokens: usize) -> Receiver<(usize, Event)> {
    let events = ask(worker, prompt, tokens);
    let asked = Vec::from_iter(std::iter::from_fn(|| worker.queue.pop()));
    let here = IpAddr::from([127, 0, 0, 1]);
    for (known, mut job) in asked {
        let client =
            if known == Client::Address(here) { Client::Address(IpAddr::from([10, 0, 0, client])) } else { known };
        job.channel.client = client;
        worker.queue.push(client, vec![job]).unwrap();
    }
    events
}

/// What came, without waiting.
fn come(events: &mut Receiver<(usize, Event)>) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|(_, event)| event).collect()
}

/// The tokens of events.
fn tokens(events: &[Event]) -> Vec<u32> {
    let pieces = events.iter().filter_map(|event| match event {
        Event::Piece(piece) => Some(piece.tokens.iter().map(|told| told.token)),
        Event::Ended { .. } | Event::Failed(_) => None,
    });
    pieces.flatten().collect()
}

#[test]
fn clients_take_turns_in_reading_and_each_reads_its_first_prompt_to_the_end() {
    let (mut worker, _) = worker();
    worker.places = 3;
    // Two pieces each.
    let (mut first, mut second) = (ask_as(&worker, 1, 8, 9), ask_as(&worker, 1, 8, 9));
    let mut other = ask_as(&worker, 2, 8, 9);
    let mut order = Vec::new();
    for round in 1..=6 {
        worker.round();
        for (name, events) in [("first", &mut first), ("second", &mut second), ("other", &mut other)] {
            if !come(events).is_empty() && !order.iter().any(|(known, _)| *known == name) {
                order.push((name, round));
            }
        }
    }
    assert_eq!(order, [("first", 3), ("other", 4), ("second", 6)]);
}

#[test]
fn a_client_has_its_share_of_the_places_wherever_its_texts_stand() {
    let (mut worker, _) = worker();
    (worker.places, worker.places_each) = (9, 3);
    // One is paused, one written, one read.
    let _paused = ask_as(&worker, 1, 1, 1000);
    (0..70).for_each(|_| worker.round());
    let written = ask_as(&worker, 1, 1, 1000);
    (0..3).for_each(|_| worker.round());
    let _more = (ask_as(&worker, 1, 40, 1000), ask_as(&worker, 1, 1, 1000), ask_as(&worker, 2, 1, 1000));
    // Its fourth waits while the third is read, and other clients' texts come in.
    for _ in 0..3 {
        worker.round();
        let places = (worker.paused.len(), worker.writing.len() + worker.reading.len(), worker.queue.len());
        assert_eq!(places, (1, 3, 1));
    }
    drop(written);
    worker.round();
    assert_eq!(worker.queue.len(), 0);
}

#[test]
fn a_text_waits_for_its_reader_and_goes_on_where_it_was() {
    let (mut worker, _) = worker();
    let (mut slow, mut quick) = (ask(&worker, 1, 200), ask(&worker, 1, 200));
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        worker.round();
        expected.extend(come(&mut quick));
    }
    // A channel's events, and one that is held: no more is written.
    assert_eq!((worker.paused.len(), worker.writing.len(), worker.active()), (1, 1, 2));
    assert_eq!((worker.metrics.paused.get(), worker.metrics.pauses.get()), (1, 1));
    assert_eq!(worker.metrics.written.get() as usize, 65 + tokens(&expected).len());
    while worker.active() > 0 {
        seen.extend(come(&mut slow));
        worker.round();
        expected.extend(come(&mut quick));
    }
    seen.extend(come(&mut slow));
    assert_eq!(tokens(&seen).len(), 200);
    assert_eq!(tokens(&seen), tokens(&expected));
    assert!(matches!(seen.last(), Some(Event::Ended { tokens: 200, .. })));
}

/// A worker with a text in each place where one can stand: that waits for its reader, is written, is read, and is in the queue.
fn everywhere() -> (Worker, [Receiver<(usize, Event)>; 4]) {
    let (mut worker, _) = worker();
    worker.places = 3;
    let paused = ask(&worker, 1, 1000);
    (0..70).for_each(|_| worker.round());
    let written = ask(&worker, 1, 1000);
    (0..3).for_each(|_| worker.round());
    let (read, waiting) = (ask(&worker, 40, 1000), ask(&worker, 1, 1000));
    worker.round();
    let places = (worker.paused.len(), worker.writing.len(), worker.reading.len(), worker.queue.len());
    assert_eq!(places, (1, 1, 1, 1));
    (worker, [paused, written, read, waiting])
}

#[test]
fn who_is_late_is_told_wherever_the_text_stands() {
    let (mut worker, mut all) = everywhere();
    worker.drop_gone(Instant::now());
    assert_eq!((worker.active(), worker.queue.len()), (3, 1));
    worker.drop_gone(Instant::now() + Duration::from_secs(2000));
    assert_eq!((worker.active(), worker.queue.len(), worker.batch.len()), (0, 0, 0));
    assert_eq!(worker.metrics.late.get(), 4);
    // The first has no room for it: it sees the end.
    for events in &mut all[1..] {
        assert!(matches!(come(events).last(), Some(Event::Failed(Failure::Late))));
        assert!(events.is_closed());
    }
    come(&mut all[0]);
    assert!(all[0].is_closed());
}

#[test]
fn who_is_gone_is_noticed_wherever_the_text_stands() {
    let (mut worker, all) = everywhere();
    drop(all);
    worker.drop_gone(Instant::now());
    assert_eq!((worker.active(), worker.queue.len(), worker.batch.len()), (0, 0, 0));
    assert_eq!(worker.metrics.cancelled.get(), 4);
}
