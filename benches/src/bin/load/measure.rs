//! Speed, alone and among others, and what a long prompt does to others.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Ask, Target, Text};
use crate::memory::{Peak, resident};

/// The value below which a share of all lies, in milliseconds.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(at).map_or(f64::NAN, |seconds| (seconds * 1e5).round() / 100.0)
}

/// p50 and p99 in milliseconds.
fn percentiles(mut values: Vec<f64>) -> Value {
    json!({ "p50": percentile(&mut values, 0.5), "p99": percentile(&mut values, 0.99), "count": values.len() })
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Tokens per second while all texts are written: after the last prompt was read, and before the first text ends. `None` where
/// that time is empty.
fn rate_of_all(texts: &[Text], begun: &[f64]) -> Option<f64> {
    let times = || texts.iter().zip(begun).map(|(text, begun)| text.times.iter().map(move |time| begun + time));
    let from = times().filter_map(|mut times| times.next()).fold(0.0, f64::max);
    let to = times().filter_map(|mut times| times.next_back()).fold(f64::INFINITY, f64::min);
    let tokens = times().flatten().filter(|time| (from..to).contains(time)).count();
    (from < to && to.is_finite()).then(|| tokens as f64 / (to - from))
}

/// As many texts at once.
pub(crate) fn streams(target: &Target, count: usize, ask: &Ask, pid: Option<u32>) -> io::Result<Value> {
    let (before, peak) = (pid.and_then(resident), pid.map(Peak::watch));
    let start = Instant::now();
    let (texts, begun): (Vec<Text>, Vec<f64>) = thread::scope(|scope| {
        let one = |seed: u64| {
            let begun = start.elapsed().as_secs_f64();
            io::Result::Ok((target.ask(&Ask { seed, ..ask.clone() })?.text(|| ())?, begun))
        };
        let threads: Vec<_> = (0..count as u64).map(|seed| scope.spawn(move || one(seed))).collect();
        threads
            .into_iter()
            .map(|text| text.join().map_err(|_| io::Error::other("a client panicked"))?)
            .collect::<io::Result<_>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let tokens: u64 = texts.iter().map(|text| text.tokens).sum();
    let grown = peak.map(Peak::end).zip(before).map(|(peak, before)| peak.saturating_sub(before) / count as u64);
    Ok(json!({
        "streams": count, "tokens": tokens, "tokens_per_s": rate_of_all(&texts, &begun).map(tenths),
        "tokens_per_s_with_prompts": tenths(tokens as f64 / seconds),
        "first_token_ms": percentiles(texts.iter().filter_map(Text::first).collect()),
        "between_tokens_ms": percentiles(texts.iter().flat_map(Text::gaps).collect()),
        "bytes_per_stream": grown,
    }))
}

/// Times between tokens of `count` texts for `quiet`, and then while a prompt of `length` characters is read.
pub(crate) fn long_prompt(
    target: &Target,
    count: usize,
    ask: &Ask,
    length: usize,
    quiet: Duration,
) -> io::Result<Value> {
    let (stop, gaps) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let writers: Vec<_> = (0..count as u64)
        .map(|seed| {
            let (target, ask, stop, gaps) = (target.clone(), ask.clone(), stop.clone(), gaps.clone());
            thread::spawn(move || write_on(&target, &Ask { seed, tokens: 1 << 15, ..ask }, &stop, &gaps))
        })
        .collect();
    let taken = || std::mem::take(&mut *gaps.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    // All have begun, and the times of their beginning do not count.
    thread::sleep(Duration::from_secs(3));
    taken();
    thread::sleep(quiet);
    let alone = taken();
    let prompt: String = ask.prompt.chars().cycle().take(length).collect();
    let long = target.ask(&Ask { prompt, tokens: 1, ..ask.clone() }).and_then(|stream| stream.text(|| ()));
    let beside = taken();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().map_err(|_| io::Error::other("a client panicked"))??;
    }
    let (alone, beside) = (percentiles(alone), percentiles(beside));
    let ratio = beside["p99"]
        .as_f64()
        .zip(alone["p99"].as_f64())
        .map(|(beside, alone)| (beside / alone * 100.0).round() / 100.0);
    let long = long?;
    Ok(json!({
        "streams": count, "prompt_tokens": long.prompt_tokens, "first_token_s": long.first(), "between_tokens_ms_alone": alone,
        "between_tokens_ms_beside": beside, "p99_ratio": ratio,
    }))
}

/// Reads one text after another and notes the times between their tokens.
fn write_on(target: &Target, ask: &Ask, stop: &AtomicBool, gaps: &Mutex<Vec<f64>>) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = target.ask(ask)?;
        let status = stream.status()?;
        if status != 200 {
            return Err(io::Error::other(format!("status {status}")));
        }
        let mut last = None;
        while !stop.load(Ordering::Relaxed) && stream.event()?.is_some() {
            let now = stream.age();
            if let Some(last) = last.replace(now) {
                gaps.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(now - last);
            }
        }
    }
    Ok(())
}
