//! A team of threads for rounds of work so short that waking threads for each would cost more than it gains.
//!
//! One token at a small size is some twenty rounds of about ten microseconds. The caller leads: it opens a round of
//! tiles, takes tiles like everyone else, and goes on when all are done. Helpers never have to take part, so a helper that
//! sleeps or has lost its core delays nothing but the tile that it holds, and nothing can deadlock. Helpers stay awake between
//! the rounds of a crew, which calls them once only, and sleep soon after the last one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::sync::*;

/// Bits of a ticket for the next free tile, and as many above them for the number of tiles; the rest counts rounds.
const TILE_BITS: u32 = 16;
/// Most tiles of a round.
const MOST_TILES: usize = (1 << TILE_BITS) - 1;

/// A call in [`Shared::bell`].
const CALL: u64 = 1 << 16;

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
    /// Whether there is a crew.
    at_work: AtomicBool,
    /// How often helpers were called, and below [`CALL`] how many sleep. In one word, so that of a call and somebody who falls
    /// asleep one is the first, and the other sees it.
    bell: AtomicU64,
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
        let mut calls = self.calls();
        let mut patience = Patience::new();
        while !self.quit.load(Ordering::Relaxed) {
            let mut worked = false;
            for _ in 0..TURNS {
                while let Some(tile) = self.claim() {
                    self.perform(tile);
                    worked = true;
                }
                spin_loop();
            }
            if worked {
                patience = Patience::new();
            } else if !patience.is_over() {
                // The next round is expected at any moment.
            } else if self.at_work.load(Ordering::Acquire) {
                // Between two rounds of many rows lies more time than patience has.
                yield_now();
            } else {
                self.sleep(calls);
                calls = self.calls();
                patience = Patience::new();
            }
        }
    }

    fn calls(&self) -> u64 {
        self.bell.load(Ordering::Acquire) / CALL
    }

    /// Sleeps until there was a call after `calls`.
    fn sleep(&self, calls: u64) {
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.bell.fetch_add(1, Ordering::AcqRel);
        while self.calls() == calls {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.bell.fetch_sub(1, Ordering::Relaxed);
    }

    fn call(&self) {
        let sleepers = self.bell.fetch_add(CALL, Ordering::AcqRel) % CALL;
        if sleepers > 0 {
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
            Builder::new().name(format!("decode-{index}")).spawn(move || shared.help()).ok()
        };
        let helpers = (0..helpers).map_while(start).collect();
        Self { shared, lead: Mutex::new(0), helpers }
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
            self.shared.at_work.store(true, Ordering::Release);
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

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        if self.lead.is_some() {
            self.shared.at_work.store(false, Ordering::Release);
        }
    }
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
            if turns % TURNS == 0 { yield_now() } else { spin_loop() }
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a tile panicked");
    }
}

#[cfg(test)]
mod tests;
