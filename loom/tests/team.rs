//! Starting, working, waiting, panicking and ending in every order, with at most three threads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use percept_loom::Team;

/// What tiles write without any lock. Loom ends the model where two threads may meet in one, or a write may be unseen.
struct Cells(Vec<UnsafeCell<usize>>);

// SAFETY: loom checks every access.
unsafe impl Sync for Cells {}

impl Cells {
    fn new(tiles: usize) -> Self {
        Self((0..tiles).map(|_| UnsafeCell::new(0)).collect())
    }

    fn add(&self, tile: usize) {
        // SAFETY: loom checks the access.
        self.0[tile].with_mut(|cell| unsafe { *cell += 1 });
    }

    fn all(&self, expected: usize) -> bool {
        // SAFETY: loom checks the access.
        self.0.iter().all(|cell| cell.with(|cell| unsafe { *cell }) == expected)
    }
}

/// Runs through the orders in which at most `preemptions` times a thread is stopped where it could go on.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_team_without_work_ends() {
    check(9, || drop(Team::new(1)));
}

#[test]
fn each_tile_is_run_once_and_seen_when_the_round_is_over() {
    check(3, || {
        let (team, first, second) = (Team::new(1), Cells::new(2), Cells::new(2));
        let mut crew = team.crew();
        crew.each(2, |tile| first.add(tile));
        assert!(first.all(1));
        // Other work, so that a helper that takes a tile by a ticket of the first round does it wrong.
        crew.each(2, |tile| second.add(1 - tile));
        assert!(first.all(1) && second.all(1));
    });
}

#[test]
fn helpers_are_called_from_their_sleep_by_each_crew() {
    check(3, || {
        let (team, cells) = (Team::new(1), Cells::new(2));
        for round in 1..=2 {
            team.crew().each(2, |tile| cells.add(tile));
            assert!(cells.all(round));
        }
    });
}

#[test]
fn two_helpers_share_a_round() {
    check(1, || {
        let (team, cells) = (Team::new(2), Cells::new(3));
        team.crew().each(3, |tile| cells.add(tile));
        assert!(cells.all(1));
    });
}

#[test]
fn a_round_over_the_stack_of_another_leader_keeps_apart() {
    check(2, || {
        let team = Arc::new(Team::new(1));
        let other = {
            let team = team.clone();
            loom::thread::spawn(move || {
                let cells = Cells::new(2);
                team.crew().each(2, |tile| cells.add(tile));
                assert!(cells.all(1));
            })
        };
        let cells = Cells::new(2);
        team.crew().each(2, |tile| cells.add(tile));
        assert!(cells.all(1));
        other.join().unwrap();
    });
}

#[test]
fn a_panic_reaches_the_leader_and_the_team_works_on() {
    check(2, || {
        let (team, cells) = (Team::new(1), Cells::new(2));
        let mut crew = team.crew();
        let outcome = catch_unwind(AssertUnwindSafe(|| crew.each(2, |tile| assert!(tile == 1))));
        assert!(outcome.is_err());
        crew.each(2, |tile| cells.add(tile));
        assert!(cells.all(1));
    });
}
