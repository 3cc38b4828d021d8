//! Rounds of real threads; `loom/` runs through the orders in which they may meet.

use super::*;

fn squares(team: &Team, tiles: usize) {
    let sums: Vec<AtomicUsize> = (0..tiles).map(|_| AtomicUsize::new(0)).collect();
    let mut crew = team.crew();
    for round in 1..=50 {
        crew.each(tiles, |tile| {
            sums[tile].fetch_add(tile * tile, Ordering::Relaxed);
        });
        assert!(sums.iter().enumerate().all(|(tile, sum)| sum.load(Ordering::Relaxed) == round * tile * tile));
    }
}

#[test]
fn every_tile_runs_once_in_every_round() {
    for helpers in [0, 1, 7] {
        let team = Team::new(helpers);
        for tiles in [0, 1, 2, 33] {
            squares(&team, tiles);
            std::thread::sleep(Patience::TIME / 2 * tiles as u32);
        }
    }
}

#[test]
fn more_tiles_than_a_ticket_counts_take_several_rounds() {
    let team = Team::new(1);
    for tiles in [MOST_TILES, MOST_TILES + 1, 2 * MOST_TILES + 5] {
        let counts: Vec<AtomicUsize> = (0..tiles).map(|_| AtomicUsize::new(0)).collect();
        team.crew().each(tiles, |tile| {
            counts[tile].fetch_add(1, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{tiles}");
    }
}

/// Takes all that is left of a round.
fn exhaust(shared: &Shared) -> Vec<usize> {
    std::iter::from_fn(|| shared.claim()).map(|tile| tile.index).collect()
}

/// A helper that loses its core at the worst moments, step by step: it must not take part of one round by the ticket
/// of another.
#[test]
fn an_old_ticket_claims_nothing() {
    let (shared, mut works) = (Shared::default(), [0u8; 2]);
    let [first, second] = works.each_mut().map(|work| (&raw mut *work).cast::<()>());
    let round = &shared.round.0;
    round.prepare(first, first);
    round.open(1, 2);
    let early = round.ticket();
    let offered = round.offered(early).map(|tile| (tile.work, tile.index));
    assert_eq!(offered, Some((first, 0)));
    assert_eq!(exhaust(&shared), [0, 1]);
    let late = round.ticket();
    assert!(round.offered(late).is_none(), "the round is over");
    // The next round is larger, and not open yet.
    round.prepare(second, second);
    assert!(round.offered(late).is_none(), "what is prepared is not open");
    assert!(round.take(early).is_err(), "the tile is gone");
    round.open(2, 5);
    assert!(round.offered(late).is_none(), "the ticket's round is over, whatever round is open");
    assert!(round.take(early).is_err() && round.take(late).is_err(), "the round is gone");
    assert_eq!(exhaust(&shared), [0, 1, 2, 3, 4], "nobody took a tile by an old ticket");
    // As large as the first: only the number of the round tells them apart.
    round.open(3, 2);
    assert!(round.take(early).is_err(), "another round of the same size");
}

/// The same with threads, which rarely meet at those moments.
#[test]
fn rounds_of_changing_sizes_keep_apart() {
    let team = Team::new(1);
    let mut crew = team.crew();
    for round in 0..20_000 {
        let (tiles, done) = (2 + round % 5, AtomicUsize::new(0));
        crew.each(tiles, |tile| {
            done.fetch_add(1 << (8 * tile), Ordering::Relaxed);
        });
        let expected = (0..tiles).map(|tile| 1 << (8 * tile)).sum::<usize>();
        assert_eq!(done.load(Ordering::Relaxed), expected, "round {round} of {tiles} tiles");
    }
}

#[test]
fn several_leaders_share_a_team() {
    let team = Team::new(2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| squares(&team, 9)));
        }
    });
}

#[test]
fn a_panic_reaches_the_leader_and_the_team_lives_on() {
    let team = Team::new(1);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        team.crew().each(8, |tile| assert!(tile != 5, "tile 5"));
    }));
    assert!(outcome.is_err());
    squares(&team, 8);
}

#[test]
fn helpers_do_take_part() {
    let team = Team::new(1);
    let leader = std::thread::current().id();
    let helped = AtomicBool::new(false);
    let mut crew = team.crew();
    while !helped.load(Ordering::Relaxed) {
        crew.each(16, |_| {
            std::thread::yield_now();
            helped.fetch_or(std::thread::current().id() != leader, Ordering::Relaxed);
        });
    }
}

#[test]
fn helpers_stay_awake_as_long_as_there_is_a_crew() {
    let team = Team::new(1);
    let leader = std::thread::current().id();
    let helped = AtomicBool::new(false);
    let asleep = || team.shared.bell.load(Ordering::Acquire) % CALL;
    let mut crew = team.crew();
    while !helped.load(Ordering::Relaxed) {
        crew.each(16, |_| {
            std::thread::yield_now();
            helped.fetch_or(std::thread::current().id() != leader, Ordering::Relaxed);
        });
    }
    // The leader has something else to do for a while, and the next round does not call.
    std::thread::sleep(10 * Patience::TIME);
    assert_eq!(asleep(), 0);
    drop(crew);
    while asleep() == 0 {
        std::thread::yield_now();
    }
}
