//! `percept bench decode`: writing token by token, in one or several streams.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use percept::Result;
use percept::model::properties::Properties;
use percept::model::session::step_all;
use percept::model::{InferenceModel, Session};
use percept::train::{Memory, PrecisionChoice};

use super::measured::Measure;
use super::report::{Details, Measurement, Timed};
use super::subject::{Subject, random_tokens};
use super::timing::Times;
use crate::arguments::{Global, KeysValuesArgs, Weights};
use crate::meter::Meter;

/// Tokens at the end of the prompt that are fed one by one, to warm up what writing uses.
const WARM_UP: usize = 16;

/// Arguments of `percept bench decode`.
#[derive(Debug, Args)]
pub(super) struct Decode {
    /// Tokens to write; without --position at most half a window
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = super::at_least_one)]
    tokens: usize,
    /// Length of the prompt that is read before; by default half a window
    #[arg(long, value_name = "P", value_parser = super::at_least_one)]
    position: Option<usize>,
    /// Streams that are written at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::at_least_one)]
    streams: usize,
    /// How exactly the weights are kept
    #[arg(long, value_name = "FORMAT", default_value = "f32", alias = "precision")]
    weights: Weights,
    #[command(flatten)]
    keys_values: KeysValuesArgs,
}

/// Streams at the position where writing begins.
struct Writing {
    model: Arc<InferenceModel>,
    sessions: Vec<Session>,
    /// ln p of every token as the next one, `[streams, V]`.
    rows: Vec<f32>,
}

impl Measure for Decode {
    fn measure(&self, subject: &Subject, global: &Global) -> Result<Measurement> {
        let half = (subject.config.model.context / 2).max(1);
        let position = self.position.unwrap_or(half);
        let tokens = if self.position.is_some() { self.tokens } else { self.tokens.min(half) };
        let (mut writing, device) = self.prepare(subject, position, global)?;
        let mut meter = Meter::new(global.terminal(), "decoding", tokens as u64);
        let mut times = Vec::new();
        for token in 1..=tokens {
            let begin = Instant::now();
            writing.write()?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            meter.set(token as u64, || format!("{:.3} ms", times[token - 1]));
        }
        let times = Times::new(times);
        let read = writing.model.decoder().map(|decoder| decoder.bytes_per_token() as f64);
        let details = Details {
            position: Some(position),
            streams: Some(self.streams),
            keys_values: Some(self.keys_values.precision().name()),
            state_bytes: writing.sessions.first().map(Session::state_bytes),
            weights_gb_per_s: read.map(|bytes| bytes / times.median() / 1e6),
            ..Details::default()
        };
        let timed = Timed {
            task: "decode",
            precision: self.weights.name().into(),
            products: PrecisionChoice::F32,
            device,
            parameters: writing.model.parameter_count(),
            steps: tokens,
            tokens: self.streams,
            typical: times.mean(),
            times,
        };
        Ok(Measurement::new(subject, timed, details))
    }
}

impl Decode {
    /// The streams after a prompt of random tokens, and the device's name.
    fn prepare(&self, subject: &Subject, position: usize, global: &Global) -> Result<(Writing, String)> {
        let config = &subject.config;
        let (model, device) = subject.build()?;
        let precision = self.keys_values.precision();
        let one = Properties::of(&config.model)?.state_bytes(position, precision) as u64;
        let state = one.saturating_mul(self.streams as u64);
        Memory::check(state, &format!("the state of {} streams", self.streams), &model.device())?;
        let model = InferenceModel::new(model).with_weight_precision(self.weights.into())?;
        let model = Arc::new(model.with_key_value_precision(precision)?);
        let prompt = random_tokens(position, config.model.vocab, config.train.seed);
        let (first, single) = prompt.split_at(position - WARM_UP.min(position - 1));
        let mut session = Session::new(model.clone());
        let mut meter = Meter::new(global.terminal(), "reading", position as u64);
        for part in first.chunks(1 << 14) {
            session.feed(part)?;
            meter.set(session.position() as u64, || "tokens".into());
        }
        let mut row = session.log_probabilities()?;
        for token in single {
            row = session.feed(&[*token])?;
        }
        let sessions = (0..self.streams).map(|_| session.fork()).collect();
        Ok((Writing { model, sessions, rows: row.repeat(self.streams) }, device))
    }
}

impl Writing {
    /// Takes the most probable token of each stream and feeds it.
    fn write(&mut self) -> Result<()> {
        let vocab = self.model.config().vocab;
        let next: Vec<u32> = self.rows.chunks_exact(vocab).map(most_probable).collect();
        match self.sessions.as_mut_slice() {
            [session] => session.feed_into(&next, &mut self.rows),
            many => step_all(&mut many.iter_mut().collect::<Vec<_>>(), &next, &mut self.rows),
        }
    }
}

fn most_probable(row: &[f32]) -> u32 {
    (0..).zip(row).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token)
}
