//! A team of threads for rounds of work so short that waking threads for each would cost more than it gains.
//!
//! One token at a small size is some twenty rounds of about ten microseconds. The caller leads: it opens a round of
//! tiles, takes tiles like everyone else, and goes on when all are done. Helpers never have to take part, so a helper that
//! sleeps or has lost its core delays nothing but the tile that it holds, and nothing can deadlock. Helpers spin between
//! rounds and sleep soon after the last one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bits of a ticket for the next free tile, and as many above them for the number of tiles; the rest counts rounds.
const TILE_BITS: u32 = 16;
/// Most tiles of a round.
const MOST_TILES: usize = (1 << TILE_BITS) - 1;
/// How long a helper spins without work before it sleeps: longer than sampling takes between two tokens.
const PATIENCE: Duration = Duration::from_micros(200);
/// Turns of a spinning loop before it looks at the clock or lets other threads run.
const TURNS: usize = 64;

/// A value that shares its cache line with no other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone<T>(T);

/// What a round consists of. A helper reads it before it claims a tile, and the claim fails if the round is over by then;
/// that is why all of it is atomic.
#[derive(Debug, Default)]
struct Round {
    /// Round number, number of tiles and next free tile in one word: a ticket by itself says whether its round is open.
    ticket: AtomicU64,
    /// `unsafe fn(*const (), usize)`: runs a tile of `work`.
    run: AtomicPtr<()>,
    work: AtomicPtr<()>,
}

#[derive(Debug, Default)]
struct Shared {
    round: Alone<Round>,
    /// Tiles of this round that are done.
    done: Alone<AtomicUsize>,
    panicked: AtomicBool,
    /// Changes when helpers should wake.
    calls: AtomicU64,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    quit: AtomicBool,
}

/// A claimed tile.
struct Tile {
    run: *mut (),
    work: *mut (),
    index: usize,
}

impl Round {
    /// Sets what the next round does; the last one is over.
    fn prepare(&self, run: *mut (), work: *mut ()) {
        self.run.store(run, Ordering::Relaxed);
        self.work.store(work, Ordering::Relaxed);
    }

    /// Lets everybody take the tiles of what was prepared.
    fn open(&self, number: u64, tiles: usize) {
        self.ticket.store((number << TILE_BITS | tiles as u64) << TILE_BITS, Ordering::Release);
    }

    fn ticket(&self) -> u64 {
        self.ticket.load(Ordering::Acquire)
    }

    /// The tile that a ticket offers, if its round has one left. It may be performed once it was taken.
    fn offered(&self, ticket: u64) -> Option<Tile> {
        let part = |shift: u32| (ticket >> shift & ((1 << TILE_BITS) - 1)) as usize;
        let (index, tiles) = (part(0), part(TILE_BITS));
        let tile = || Tile { run: self.run.load(Ordering::Relaxed), work: self.work.load(Ordering::Relaxed), index };
        (index < tiles).then(tile)
    }

    /// Takes the tile that a ticket offers; where that is no longer free, the ticket of now is the error. Success means that
    /// what [`Round::offered`] read belongs to this round: the leader prepares the next one only after every tile of this
    /// one, ours included, is done.
    fn take(&self, ticket: u64) -> Result<(), u64> {
        self.ticket.compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
}

impl Shared {
    fn claim(&self) -> Option<Tile> {
        let round = &self.round.0;
        let mut ticket = round.ticket();
        loop {
            let tile = round.offered(ticket)?;
            match round.take(ticket) {
                Ok(()) => return Some(tile),
                Err(now) => ticket = now,
            }
        }
    }

    fn perform(&self, tile: Tile) {
        // SAFETY: `Crew::each` stored a function of this type.
        let run = unsafe { std::mem::transmute::<*mut (), unsafe fn(*const (), usize)>(tile.run) };
        // SAFETY: `work` is what `run` was made for, and lives until the leader has seen this tile done.
        let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { run(tile.work, tile.index) }));
        if outcome.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.done.0.fetch_add(1, Ordering::Release);
    }

    fn help(&self) {
        let mut calls = self.calls.load(Ordering::SeqCst);
        let mut idle = Instant::now();
        while !self.quit.load(Ordering::Relaxed) {
            let mut worked = false;
            for _ in 0..TURNS {
                while let Some(tile) = self.claim() {
                    self.perform(tile);
                    worked = true;
                }
                std::hint::spin_loop();
            }
            if worked {
                idle = Instant::now();
            } else if idle.elapsed() > PATIENCE {
                self.sleep(calls);
                calls = self.calls.load(Ordering::SeqCst);
                idle = Instant::now();
            }
        }
    }

    /// Sleeps until there was a call after `calls`.
    fn sleep(&self, calls: u64) {
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.calls.load(Ordering::SeqCst) == calls {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn call(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
    }
}

/// Helpers that wait for a leader. Dropping it ends them.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use percept_kernels::decode::Team;
/// let team = Team::new(2);
/// let mut crew = team.crew();
/// let squares: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
/// crew.each(100, |tile| squares[tile].store(tile * tile, Ordering::Relaxed));
/// // A round is complete before the next one begins: any thread may read what others have written.
/// let total = AtomicUsize::new(0);
/// crew.each(10, |tile| {
///     let part = squares[10 * tile..][..10].iter().map(|square| square.load(Ordering::Relaxed)).sum();
///     total.fetch_add(part, Ordering::Relaxed);
/// });
/// assert_eq!(total.into_inner(), 328_350);
/// ```
#[derive(Debug)]
pub struct Team {
    shared: Arc<Shared>,
    /// Held by the leader; the number of the last round.
    lead: Mutex<u64>,
    helpers: Vec<JoinHandle<()>>,
}

impl Team {
    /// A team of the calling thread and up to `helpers` others.
    pub fn new(helpers: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let start = |index: usize| {
            let shared = shared.clone();
            std::thread::Builder::new().name(format!("decode-{index}")).spawn(move || shared.help()).ok()
        };
        let helpers = (0..helpers).map_while(start).collect();
        Self { shared, lead: Mutex::new(0), helpers }
    }

    /// The team of this process: as many threads as the current rayon pool has, but no more than there are cores.
    pub fn global() -> &'static Self {
        static TEAM: OnceLock<Team> = OnceLock::new();
        TEAM.get_or_init(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            Self::new(rayon::current_num_threads().min(cores) - 1)
        })
    }

    /// The helpers, for as long as the crew lives; somebody else who asks meanwhile works alone.
    pub fn crew(&self) -> Crew<'_> {
        let lead = match self.lead.try_lock() {
            Ok(lead) => Some(lead),
            Err(TryLockError::Poisoned(lead)) => Some(lead.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let lead = lead.filter(|_| !self.helpers.is_empty());
        if lead.is_some() {
            self.shared.call();
        }
        Crew { shared: &self.shared, lead }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Relaxed);
        self.shared.call();
        for helper in self.helpers.drain(..) {
            // A helper catches what its tiles panic with, so there is nothing to learn from it.
            let _ = helper.join();
        }
    }
}

/// The leader and, where it leads a team, its helpers.
#[derive(Debug)]
pub struct Crew<'a> {
    shared: &'a Shared,
    lead: Option<MutexGuard<'a, u64>>,
}

impl Crew<'_> {
    /// Runs `work` once for each of the `tiles`, shared between the threads, and returns when all are done.
    ///
    /// # Panics
    /// If `work` panics.
    pub fn each(&mut self, tiles: usize, work: impl Fn(usize) + Sync) {
        for first in (0..tiles).step_by(MOST_TILES) {
            self.round(MOST_TILES.min(tiles - first), |tile| work(first + tile));
        }
    }

    /// A round of at most [`MOST_TILES`].
    fn round<F: Fn(usize) + Sync>(&mut self, tiles: usize, work: F) {
        let Some(lead) = self.lead.as_mut().filter(|_| tiles > 1) else {
            return (0..tiles).for_each(work);
        };
        /// # Safety
        /// `work` points to an `F`.
        unsafe fn run<F: Fn(usize)>(work: *const (), tile: usize) {
            // SAFETY: see above.
            unsafe { (*work.cast::<F>())(tile) }
        }
        let (shared, round) = (self.shared, &self.shared.round.0);
        shared.done.0.store(0, Ordering::Relaxed);
        let run = run::<F> as unsafe fn(*const (), usize);
        round.prepare(run as *mut (), (&raw const work).cast::<()>().cast_mut());
        **lead += 1;
        round.open(**lead, tiles);
        while let Some(tile) = shared.claim() {
            shared.perform(tile);
        }
        let mut turns = 0;
        while shared.done.0.load(Ordering::Acquire) < tiles {
            turns += 1;
            // A helper that has lost its core needs ours.
            if turns % TURNS == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a tile panicked");
    }
}

#[cfg(test)]
mod tests {
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
                std::thread::sleep(PATIENCE / 2 * tiles as u32);
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
}
