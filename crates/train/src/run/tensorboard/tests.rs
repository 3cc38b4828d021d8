//! Event files read back by a reader that shares nothing with the writer.

use super::*;
use crate::run::metrics::{StepMetrics, ValidationMetrics};

/// A scalar as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
struct Scalar {
    step: u64,
    tag: String,
    value: f32,
}

/// Wall times, the version, and the scalars of a file; panics on a broken frame.
fn read(path: &Path) -> (Vec<f64>, String, Vec<Scalar>) {
    let data = fs::read(path).unwrap();
    let (mut times, mut version, mut scalars) = (Vec::new(), String::new(), Vec::new());
    let mut rest = data.as_slice();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let stored = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let event = &rest[12..12 + length];
        assert_eq!((stored(8), stored(12 + length)), (checksum(&rest[..8]), checksum(event)));
        rest = &rest[16 + length..];
        let mut step = 0;
        for (field, value) in fields(event) {
            match (field, value) {
                (1, Value::Eight(bits)) => times.push(f64::from_bits(bits)),
                (2, Value::Number(number)) => step = number,
                (3, Value::Bytes(text)) => version = String::from_utf8(text.to_vec()).unwrap(),
                (5, Value::Bytes(summary)) => scalars.extend(fields(summary).map(|(_, value)| scalar(step, value))),
                other => panic!("unexpected field {other:?}"),
            }
        }
    }
    (times, version, scalars)
}

fn scalar(step: u64, value: Value<'_>) -> Scalar {
    let Value::Bytes(value) = value else { panic!("a summary holds messages") };
    let parts: Vec<_> = fields(value).collect();
    let [(1, Value::Bytes(tag)), (2, Value::Four(bits))] = parts[..] else { panic!("a tag and a number: {parts:?}") };
    Scalar { step, tag: String::from_utf8(tag.to_vec()).unwrap(), value: f32::from_bits(bits) }
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Eight(u64),
    Bytes(&'a [u8]),
    Four(u32),
}

/// The fields of a message of protocol buffers.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    fn number(message: &mut &[u8]) -> u64 {
        let length = message.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (own, rest) = message.split_at(length);
        *message = rest;
        own.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
    }
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let key = number(&mut message);
        let mut take = |count: usize| {
            let (own, rest) = message.split_at(count);
            message = rest;
            own
        };
        let value = match key & 7 {
            1 => Value::Eight(u64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Value::Four(u32::from_le_bytes(take(4).try_into().unwrap())),
            0 => Value::Number(number(&mut message)),
            2 => {
                let length = number(&mut message) as usize;
                let (own, rest) = message.split_at(length);
                message = rest;
                Value::Bytes(own)
            }
            kind => panic!("unknown kind {kind}"),
        };
        Some((key >> 3, value))
    })
}

/// Masked CRC-32C by polynomial division of the bits in their order of transmission.
fn checksum(data: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for byte in data {
        for bit in 0..8 {
            let high = (remainder >> 31) as u8 ^ (byte >> bit & 1);
            remainder = remainder << 1 ^ if high == 1 { 0x1edc_6f41 } else { 0 };
        }
    }
    let crc = (!remainder).reverse_bits();
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn lines() -> Vec<Metrics> {
    let step = |step: u64| {
        Metrics::Train(StepMetrics {
            step,
            tokens: 100 * step,
            targets: 100 * step,
            loss: 4.0 / step as f64,
            bits_per_byte: Some(5.5),
            learning_rate: 1e-3,
            gradient_norm: 0.25,
            tokens_per_second: 1e4,
            seconds: step as f64,
            order_hash: String::new(),
        })
    };
    let validation = ValidationMetrics { step: 300, targets: 9, loss: 1.5, bits_per_byte: None, best: true };
    vec![step(150), step(300), Metrics::Validation(validation), step(450)]
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_file_holds_every_curve() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = EventLog::open(folder.path(), &[], 0.0, Others::Replaced).unwrap();
    lines().iter().for_each(|line| log.add(line).unwrap());
    let (times, version, scalars) = read(&only_file(folder.path()));
    assert_eq!((times.len(), version.as_str()), (5, "brain.Event:2"));
    let of = |tag: &str| -> Vec<(u64, f32)> {
        scalars.iter().filter(|scalar| scalar.tag == tag).map(|scalar| (scalar.step, scalar.value)).collect()
    };
    assert_eq!(of("train/loss"), [(150, 4.0 / 150.0), (300, 4.0 / 300.0), (450, 4.0 / 450.0)]);
    assert_eq!(of("validation/loss"), [(300, 1.5)]);
    for (tag, value) in [
        ("train/bits_per_byte", 5.5),
        ("train/learning_rate", 1e-3),
        ("train/gradient_norm", 0.25),
        ("train/tokens_per_second", 1e4),
    ] {
        assert_eq!(of(tag), [150, 300, 450].map(|step| (step, value)), "{tag}");
    }
    assert_eq!(scalars.len(), 16);
    // A line is dated by the training time; a validation has the time of the line before it.
    let since: Vec<f64> = times.iter().map(|time| (time - times[0]).round()).collect();
    assert_eq!(since, [0.0, 150.0, 300.0, 300.0, 450.0]);
}

#[test]
fn a_resumed_run_has_no_step_twice() {
    let folder = tempfile::tempdir().unwrap();
    let all = lines();
    let mut first = EventLog::open(folder.path(), &[], 0.0, Others::Replaced).unwrap();
    all.iter().for_each(|line| first.add(line).unwrap());
    // The session is killed, and the run goes on from step 300; its process has another number.
    let old = only_file(folder.path());
    fs::rename(&old, old.with_extension("0")).unwrap();
    let mut second = EventLog::open(folder.path(), &all[..3], 300.0, Others::Replaced).unwrap();
    second.add(&all[3]).unwrap();
    let (_, _, scalars) = read(&only_file(folder.path()));
    let steps: Vec<u64> =
        scalars.iter().filter(|scalar| scalar.tag == "train/loss").map(|scalar| scalar.step).collect();
    assert_eq!(steps, [150, 300, 450]);
}

#[test]
fn event_files_stay_where_the_lines_of_metrics_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = EventLog::open(folder.path(), &[], 0.0, Others::Replaced).unwrap();
    lines().iter().for_each(|line| first.add(line).unwrap());
    let old = only_file(folder.path());
    fs::rename(&old, old.with_extension("0")).unwrap();
    EventLog::open(folder.path(), &[], 300.0, Others::Kept).unwrap();
    assert!(old.with_extension("0").exists() && fs::read_dir(folder.path()).unwrap().count() == 2);
}
