//! Counts and times, in the text format of Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that changes.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is measured of the states.
#[derive(Debug, Default)]
pub(crate) struct StateNumbers {
    /// How many are kept.
    pub(crate) states: Number,
    /// Bytes of their files.
    pub(crate) bytes: Number,
    /// Those that made place for others.
    pub(crate) evicted: Number,
    /// Those that nobody used for too long.
    pub(crate) expired: Number,
}

/// Upper ends of the buckets of times, in seconds.
const ENDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How often a time fell where.
#[derive(Debug, Default)]
pub(crate) struct Times {
    buckets: [Number; ENDS.len() + 1],
    nanoseconds: Number,
}

impl Times {
    pub(crate) fn note(&self, time: Duration) {
        let bucket = ENDS.partition_point(|end| *end < time.as_secs_f64());
        self.buckets[bucket].add(1);
        self.nanoseconds.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// What is measured of one model.
#[derive(Debug, Default)]
pub(crate) struct ModelMetrics {
    /// Tokens of prompts that were read.
    pub(crate) read: Number,
    /// Tokens that were written.
    pub(crate) written: Number,
    /// Texts that came to their end.
    pub(crate) ended: Number,
    /// Texts whose client went.
    pub(crate) cancelled: Number,
    /// Texts that took too long.
    pub(crate) late: Number,
    /// Texts that failed.
    pub(crate) failed: Number,
    /// Requests that found the queue full.
    pub(crate) refused: Number,
    /// Texts that are read or written now.
    pub(crate) active: Number,
    /// Of them, texts that wait for their reader now.
    pub(crate) paused: Number,
    /// How often a text began to wait for its reader.
    pub(crate) pauses: Number,
    /// Texts that wait for a place now.
    pub(crate) waiting: Number,
    /// Prompts whose beginning was looked for.
    pub(crate) prefix_lookups: Number,
    /// Prompts whose beginning was found.
    pub(crate) prefix_hits: Number,
    /// Tokens that need not be read because the state after them was found.
    pub(crate) prefix_tokens: Number,
    /// Bytes of the beginnings that are kept.
    pub(crate) prefix_bytes: Number,
    /// From the arrival of a prompt to its first token.
    pub(crate) first: Times,
    /// A round of writing, with what was read of a prompt in it: the time between two tokens of a text.
    pub(crate) round: Times,
}

/// What is measured of the server: answers by the hundreds of their status.
#[derive(Debug, Default)]
pub(crate) struct Answers([Number; 6]);

impl Answers {
    pub(crate) fn note(&self, status: u16) {
        self.0[usize::from(status / 100).min(5)].add(1);
    }
}

/// The text that Prometheus reads.
pub(crate) fn text<'a>(
    answers: &Answers,
    states: &StateNumbers,
    models: impl Iterator<Item = (&'a str, &'a ModelMetrics)> + Clone,
) -> String {
    let mut out = String::new();
    head(&mut out, "percept_answers_total", "counter", "answers by status");
    for (hundred, count) in answers.0.iter().enumerate().skip(1) {
        let _ = writeln!(out, "percept_answers_total{{status=\"{hundred}xx\"}} {}", count.get());
    }
    for (name, kind, help, number) in [
        ("percept_states", "gauge", "states that are kept", &states.states),
        ("percept_states_bytes", "gauge", "bytes of their files", &states.bytes),
        ("percept_states_evicted_total", "counter", "states that made place for others", &states.evicted),
        ("percept_states_expired_total", "counter", "states that nobody used for too long", &states.expired),
    ] {
        head(&mut out, name, kind, help);
        let _ = writeln!(out, "{name} {}", number.get());
    }
    type Get = fn(&ModelMetrics) -> &Number;
    let numbers: [(&str, &str, &str, Get); 15] = [
        ("percept_prompt_tokens_total", "counter", "tokens of prompts that were read", |model| &model.read),
        ("percept_completion_tokens_total", "counter", "tokens that were written", |model| &model.written),
        ("percept_texts_ended_total", "counter", "texts that came to their end", |model| &model.ended),
        ("percept_texts_cancelled_total", "counter", "texts whose client went", |model| &model.cancelled),
        ("percept_texts_late_total", "counter", "texts that took too long", |model| &model.late),
        ("percept_texts_failed_total", "counter", "texts that failed", |model| &model.failed),
        ("percept_requests_refused_total", "counter", "requests that found the queue full", |model| &model.refused),
        ("percept_prefix_lookups_total", "counter", "prompts whose beginning was looked for", |model| {
            &model.prefix_lookups
        }),
        ("percept_prefix_hits_total", "counter", "prompts whose beginning was found", |model| &model.prefix_hits),
        ("percept_prefix_tokens_total", "counter", "tokens that were found, not read", |model| &model.prefix_tokens),
        ("percept_prefix_bytes", "gauge", "bytes of the beginnings that are kept", |model| &model.prefix_bytes),
        ("percept_texts_active", "gauge", "texts that are read or written", |model| &model.active),
        ("percept_texts_paused", "gauge", "texts that wait for their reader", |model| &model.paused),
        ("percept_texts_paused_total", "counter", "times that a text began to wait for its reader", |model| {
            &model.pauses
        }),
        ("percept_texts_waiting", "gauge", "texts that wait for a place", |model| &model.waiting),
    ];
    for (name, kind, help, get) in numbers {
        head(&mut out, name, kind, help);
        for (model, metrics) in models.clone() {
            let _ = writeln!(out, "{name}{{model=\"{}\"}} {}", escaped(model), get(metrics).get());
        }
    }
    let first = "from the arrival of a prompt to its first token";
    histogram(&mut out, "percept_first_token_seconds", first, models.clone().map(|(name, model)| (name, &model.first)));
    let round = "between two tokens of a text";
    histogram(&mut out, "percept_round_seconds", round, models.map(|(name, model)| (name, &model.round)));
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn histogram<'a>(out: &mut String, name: &str, help: &str, models: impl Iterator<Item = (&'a str, &'a Times)>) {
    head(out, name, "histogram", help);
    for (model, times) in models {
        let (model, mut count) = (escaped(model), 0);
        let ends = ENDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (end, bucket) in ends.zip(&times.buckets) {
            count += bucket.get();
            let _ = writeln!(out, "{name}_bucket{{model=\"{model}\",le=\"{end}\"}} {count}");
        }
        let _ = writeln!(out, "{name}_sum{{model=\"{model}\"}} {}", times.nanoseconds.get() as f64 / 1e9);
        let _ = writeln!(out, "{name}_count{{model=\"{model}\"}} {count}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_all_buckets_that_hold_them() {
        let model = ModelMetrics::default();
        model.first.note(Duration::from_millis(3));
        model.first.note(Duration::from_secs(100));
        model.written.add(7);
        let text = text(&Answers::default(), &StateNumbers::default(), [("a\"b", &model)].into_iter());
        for line in [
            "percept_first_token_seconds_bucket{model=\"a\\\"b\",le=\"0.0025\"} 0",
            "percept_first_token_seconds_bucket{model=\"a\\\"b\",le=\"0.005\"} 1",
            "percept_first_token_seconds_bucket{model=\"a\\\"b\",le=\"30\"} 1",
            "percept_first_token_seconds_bucket{model=\"a\\\"b\",le=\"+Inf\"} 2",
            "percept_first_token_seconds_sum{model=\"a\\\"b\"} 100.003",
            "percept_completion_tokens_total{model=\"a\\\"b\"} 7",
            "percept_answers_total{status=\"4xx\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
