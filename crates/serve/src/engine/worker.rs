//! The thread of a model: who comes in, who reads, who writes.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use percept_fault::{Fault, Result};
use percept_generate::{Batch, Generation, Piece, Stream};
use percept_model::Session;
use percept_model::session::step_all;

use super::channel::Channel;
use super::prefix::{PrefixCache, Prefixes};
use super::queue::{Course, Queue};
use super::turns::Turns;
use super::{AtEnd, Event, Failure, Job, Wanted};
use crate::ServedModel;
use crate::access::Client;
use crate::config::Limits;
use crate::log::{Log, panicked};
use crate::metrics::ModelMetrics;

/// How long an engine with nothing to do sleeps, unless it is woken.
const IDLE: Duration = Duration::from_secs(1);
/// How often it looks whether slow readers have room again.
const LOOK: Duration = Duration::from_millis(5);

/// A text whose reader is slow: it waits, outside of the batch.
#[derive(Debug)]
struct Paused {
    channel: Channel,
    /// `None` where the text is written, and only its last events wait.
    stream: Option<Stream>,
}

/// A text whose prompt is being read.
#[derive(Debug)]
struct Reading {
    stream: Stream,
    channel: Channel,
    /// Where states on the way are to be kept.
    prefixes: Prefixes,
}

/// The state of an engine's thread.
pub(super) struct Worker {
    served: ServedModel,
    piece: usize,
    places: usize,
    places_each: usize,
    queue: Arc<Queue<Client, Job>>,
    metrics: Arc<ModelMetrics>,
    prefixes: PrefixCache,
    log: Log,
    /// Texts whose prompt is being read.
    reading: Turns<Client, Reading>,
    /// Texts that are written; `writing` has the channel of each by its number there.
    batch: Batch,
    writing: HashMap<usize, Channel>,
    paused: Vec<Paused>,
    /// How long the last token of all texts took.
    wrote_for: Duration,
}

impl Worker {
    pub(super) fn new(
        served: ServedModel,
        limits: &Limits,
        (queue, metrics): (Arc<Queue<Client, Job>>, Arc<ModelMetrics>),
        log: Log,
    ) -> Self {
        let (piece, places) = (limits.piece, limits.streams);
        let places_each = limits.streams_each.unwrap_or(usize::MAX);
        let (reading, batch, writing, paused) = Default::default();
        let prefixes = PrefixCache::new(limits.prefix_bytes, metrics.clone());
        let wrote_for = Duration::ZERO;
        Self {
            served,
            piece,
            places,
            places_each,
            queue,
            metrics,
            prefixes,
            log,
            reading,
            batch,
            writing,
            paused,
            wrote_for,
        }
    }

    /// Works until it is told to end. A panic ends the texts that were on their way, and nothing else.
    pub(super) fn run(&mut self) {
        loop {
            match self.queue.course() {
                Course::Ending => return self.fail_all(|| Failure::Stopping),
                Course::Draining if self.active() == 0 && self.queue.len() == 0 => return,
                Course::Open | Course::Draining => {}
            }
            self.caught(Self::round);
        }
    }

    /// Does `work`. What a panic in it may have left half done is thrown away whole.
    fn caught(&mut self, work: impl FnOnce(&mut Self)) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            panicked(&self.log, format!("engine {}", self.served.name), &*payload);
            self.metrics.failed.add(self.active() as u64);
            let fault = Arc::new(Fault::internal("the engine panicked"));
            self.fail_active(|| Failure::Fault(fault.clone()));
        }
    }

    /// Texts that have a place.
    fn active(&self) -> usize {
        self.reading.len() + self.writing.len() + self.paused.len()
    }

    /// Texts of each client that have a place.
    fn held(&self) -> HashMap<Client, usize> {
        let reading = self.reading.iter().map(|reading| &reading.channel);
        let paused = self.paused.iter().map(|paused| &paused.channel);
        let mut held = HashMap::new();
        for channel in self.writing.values().chain(reading).chain(paused) {
            *held.entry(channel.client).or_default() += 1;
        }
        held
    }

    fn round(&mut self) {
        let begin = Instant::now();
        self.drop_gone(begin);
        self.resume();
        self.admit();
        self.metrics.active.set(self.active() as u64);
        self.metrics.paused.set(self.paused.len() as u64);
        if self.active() == 0 {
            return self.queue.wait(IDLE);
        }
        self.read();
        if self.batch.is_empty() {
            if self.reading.is_empty() {
                // All wait for their readers.
                std::thread::sleep(LOOK);
            }
            return;
        }
        self.write();
        self.metrics.round.note(begin.elapsed());
    }

    /// Ends the texts that nobody wants any more, and those that took too long.
    fn drop_gone(&mut self, now: Instant) {
        let metrics = &self.metrics;
        let stays = |channel: &Channel| {
            if channel.is_closed() {
                metrics.cancelled.add(1);
                return false;
            }
            if channel.is_late(now) {
                metrics.late.add(1);
                channel.fail(Failure::Late);
                return false;
            }
            true
        };
        self.queue.retain(|job| stays(&job.channel));
        self.reading.retain(|reading| stays(&reading.channel));
        self.paused.retain(|paused| stays(&paused.channel));
        let batch = &mut self.batch;
        self.writing.retain(|&number, channel| {
            let stays = stays(channel);
            if !stays {
                batch.leave(number);
            }
            stays
        });
    }

    /// Texts whose readers have room again go on.
    fn resume(&mut self) {
        for mut paused in std::mem::take(&mut self.paused) {
            paused.channel.flush();
            match (paused.channel.is_full(), paused.stream) {
                (true, stream) => self.paused.push(Paused { channel: paused.channel, stream }),
                (false, Some(stream)) => {
                    self.writing.insert(self.batch.join(stream), paused.channel);
                }
                (false, None) => {}
            }
        }
    }

    /// Takes texts in while there are places, of each client no more than its share.
    fn admit(&mut self) {
        let (mut held, each) = (self.held(), self.places_each);
        while self.active() < self.places
            && let Some((client, Job { wanted, channel })) =
                self.queue.pop_of(|client| held.get(client).is_none_or(|held| *held < each))
        {
            *held.entry(client).or_default() += 1;
            let Wanted { prompt, config, start, prefixes, .. } = wanted;
            let (session, read) = match (start, self.prefixes.find(&prefixes)) {
                (Some(start), _) => (start.session.fork(), 0),
                (None, Some(session)) => {
                    let read = session.position();
                    (session, read)
                }
                (None, None) => (Session::new(self.served.model.clone()), 0),
            };
            match Stream::new(session, &self.served.tokenizer, &prompt[read..], &config) {
                Ok(stream) => self.reading.push(client, Reading { stream, channel, prefixes }),
                Err(fault) => self.fail(&channel, fault),
            }
        }
    }

    /// Reads one piece of one prompt: clients take turns. Where it takes longer than half as long as writing does, texts are written
    /// between its layers, which changes no bits: no text waits for more than that and a layer, and the prompt gets at least a
    /// third of the time.
    fn read(&mut self) {
        let Some((client, Reading { mut stream, channel, prefixes })) = self.reading.pop() else { return };
        let before = stream.session().position();
        let mut since = Instant::now();
        let read = stream.read_between(self.piece, &mut || {
            if !self.batch.is_empty() && since.elapsed() >= self.wrote_for / 2 {
                self.write();
                since = Instant::now();
            }
        });
        self.metrics.read.add((stream.session().position() - before) as u64);
        if let Err(fault) = read {
            return self.fail(&channel, fault);
        }
        self.prefixes.offer(&prefixes, stream.session());
        match stream.is_read() {
            true => drop(self.writing.insert(self.batch.join(stream), channel)),
            false => self.reading.put_back(client, Reading { stream, channel, prefixes }),
        }
    }

    /// A token of each text that is written.
    fn write(&mut self) {
        let begin = Instant::now();
        self.write_all();
        self.wrote_for = begin.elapsed();
    }

    fn write_all(&mut self) {
        let Self { batch, writing, metrics, .. } = self;
        let mut emit = |number: usize, piece: Piece| {
            if let Some(channel) = writing.get_mut(&number) {
                if let Some(arrived) = channel.arrived.take() {
                    metrics.first.note(arrived.elapsed());
                }
                channel.send(Event::Piece(piece));
            }
            Result::Ok(())
        };
        let streams = batch.len();
        let ended = match batch.step(usize::MAX, &mut emit) {
            Ok(ended) => ended,
            Err(fault) => {
                let fault = Arc::new(fault);
                metrics.failed.add(writing.len() as u64);
                return self.fail_active(|| Failure::Fault(fault.clone()));
            }
        };
        // Each has a token more, but those that fail, and those that are only scored.
        let without = |generation: &Result<Generation>| generation.as_ref().map_or(0, |text| text.tokens) == 0;
        let fewer = ended.iter().filter(|ended| without(&ended.generation)).count();
        self.metrics.written.add((streams - fewer) as u64);
        for ended in ended {
            let Some(mut channel) = self.writing.remove(&ended.stream) else { continue };
            let state_bytes = ended.session.state_bytes();
            let kept = match channel.at_end {
                AtEnd::Drop => Ok(None),
                AtEnd::Keep => self.settled(ended.session, ended.unfed).map(Some),
            };
            match ended.generation.and_then(|generation| Ok((generation, kept?))) {
                Ok((generation, session)) => {
                    self.metrics.ended.add(1);
                    let (tokens, stopped) = (generation.tokens, generation.stopped);
                    channel.send(Event::Ended { tokens, stopped, state_bytes, session });
                    if channel.is_full() {
                        self.paused.push(Paused { channel, stream: None });
                    }
                }
                Err(fault) => self.fail(&channel, fault),
            }
        }
        self.pause_slow();
    }

    /// A session that has seen its last token, as the next round would have shown it.
    fn settled(&self, mut session: Session, unfed: Option<u32>) -> Result<Box<Session>> {
        if let Some(token) = unfed {
            step_all(&mut [&mut session], &[token], &mut vec![0.0; self.served.model.config().vocab])?;
        }
        Ok(Box::new(session))
    }

    /// Takes the texts of slow readers out of the batch.
    fn pause_slow(&mut self) {
        let slow: Vec<usize> =
            self.writing.iter().filter(|(_, channel)| channel.is_full()).map(|(&number, _)| number).collect();
        for number in slow {
            if let (Some(channel), stream @ Some(_)) = (self.writing.remove(&number), self.batch.leave(number)) {
                self.metrics.pauses.add(1);
                self.paused.push(Paused { channel, stream });
            }
        }
    }

    fn fail(&self, channel: &Channel, fault: Fault) {
        self.metrics.failed.add(1);
        channel.fail(Failure::Fault(Arc::new(fault)));
    }

    /// Ends all texts that have a place.
    fn fail_active(&mut self, failure: impl Fn() -> Failure) {
        self.batch = Batch::default();
        let written = std::mem::take(&mut self.writing).into_values();
        let paused = std::mem::take(&mut self.paused).into_iter().map(|paused| paused.channel);
        written.chain(paused).for_each(|channel| channel.fail(failure()));
        while let Some((_, reading)) = self.reading.pop() {
            reading.channel.fail(failure());
        }
    }

    /// Ends all texts, those that wait too.
    fn fail_all(&mut self, failure: impl Fn() -> Failure) {
        self.fail_active(&failure);
        while let Some((_, job)) = self.queue.pop() {
            job.channel.fail(failure());
        }
    }
}

#[cfg(test)]
mod places_tests;

#[cfg(test)]
mod tests;
