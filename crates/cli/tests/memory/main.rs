//! The memory that a plan promises against the memory that training takes.
//!
//! A process of its own: Linux counts the peak of whoever starts a program as the program's, and that of a hundred other tests is large.

#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "this test needs a part of it")]
#[path = "../cli/support.rs"]
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use support::Work;

/// Relative error that is allowed.
const LIMIT: f64 = 0.2;

/// What every model has in common; large enough that activations outweigh the program.
const SIZES: [&str; 17] = [
    "model.dim=64",
    "model.depth=4",
    "model.heads=4",
    "model.context=512",
    "model.segment=128",
    "model.latents=256",
    "model.compressed=128",
    "train.batch=16",
    "train.steps=2",
    "train.log_every=1",
    "train.validate_every=0",
    "train.validation_targets=512",
    "train.sample_every=0",
    "train.checkpoint_every=0",
    "sample.tokens=0",
    "data.split.test=0",
    "train.device=cpu",
];

/// Every kind of model, and the options that keep most.
const MODELS: [&[&str]; 21] = [
    &["model.layers=llp"],
    &["model.layers=transformer"],
    &["model.layers=perceiver-ar"],
    &["model.layers=perceiver-v1"],
    &["model.layers=perceiver-v2"],
    &["model.layers=perceiver-v3"],
    &["model.layers=longlora"],
    &["model.layers=llp*3, transformer"],
    &["model.layers=conv"],
    &["model.layers=group-conv", "model.feed_forward=grouped"],
    &["model.layers=rwkv4", "model.feed_forward=rwkv4-channel"],
    &["model.layers=rwkv7", "model.feed_forward=rwkv7-channel"],
    &["model.layers=tost"],
    &["model.layers=combiner-fixed"],
    &["model.layers=combiner-logsparse"],
    &["model.layers=combiner-axial-mixture"],
    // Many more rows in the first layer than after it.
    &["model.layers=perceiver-ar", "model.context=4096", "model.latents=128", "model.compressed=128", "train.batch=8"],
    &["model.layers=perceiver-v3", "model.context=4096", "model.latents=128", "model.compressed=128", "train.batch=8"],
    &["model.layers=llp", "train.recompute=blocks"],
    &["model.layers=transformer", "train.accumulate=2", "train.ema=0.9"],
    &[
        "model.layers=llp",
        "model.feed_forward=gelu",
        "model.feed_forward_dropout=0.1",
        "model.key_value=shared",
        "model.qk_norm=false",
        "model.norm=layer",
    ],
];

/// Runs the command to its end; its status and the most memory that it had, in bytes.
#[expect(clippy::zombie_processes, reason = "wait4 waits for the child")]
fn peak_memory(command: &mut std::process::Command) -> (ExitStatus, u64) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut status = 0;
    // SAFETY: all zeros are a value of this struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: waits for a child of ours that nobody else waits for, and writes into two places of ours.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    assert_eq!(waited, child.id() as i32);
    // Linux counts in KiB.
    (ExitStatus::from_raw(status), usage.ru_maxrss as u64 * 1024)
}

#[test]
fn training_takes_the_memory_that_was_planned() {
    let work = Work::new();
    work.write("long.txt", &"The quick brown fox jumps over the lazy dog. ".repeat(1500));
    let mut table = String::new();
    let mut worst = 0f64;
    for (number, model) in MODELS.iter().enumerate() {
        let sets: Vec<&str> = SIZES.iter().chain(*model).flat_map(|set| ["--set", set]).collect();
        let plan = work.run(&[&["plan", "llp-tiny", "--quick", "--json"], &sets[..]].concat()).succeeds().json();
        let planned = plan["peak_memory_bytes"].as_f64().unwrap();
        let run = format!("run{number}");
        let train = [&["train", "llp-tiny", "--data", "long.txt", "--run", &run], &sets[..]].concat();
        let (status, measured) = peak_memory(&mut work.command(&train));
        assert!(status.success(), "{model:?}");
        let error = planned / measured as f64 - 1.0;
        worst = worst.max(error.abs());
        table += &format!("{:6.1} % planned {planned:>11} measured {measured:>11} {model:?}\n", 100.0 * error);
    }
    println!("{table}");
    assert!(worst <= LIMIT, "{table}");
}
