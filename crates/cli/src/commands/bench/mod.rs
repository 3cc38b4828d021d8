//! `percept bench`: how fast this machine trains, reads and writes with a model, and what it is compared with.

mod against;
mod child;
mod context;
mod decode;
mod kernels;
mod measured;
mod prefill;
mod report;
mod start;
mod subject;
mod timing;
mod train;

use clap::{Args, Subcommand};
use percept::Result;

use measured::Measured;

use crate::arguments::Global;

/// Arguments of `percept bench`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept bench train --config S --threads 2\n\
    Weights and tokens are random: speed does not depend on them. Close other programs, and quote ratios of one\n\
    run (--against) rather than times of two.")]
pub(crate) struct Bench {
    #[command(subcommand)]
    task: Task,
}

/// What is timed.
#[derive(Debug, Subcommand)]
enum Task {
    /// Whole training steps: forward, backward, optimizer
    #[command(
        after_help = "For example: percept bench train --config S --against 'python3 baseline.py train --config S'"
    )]
    Train(Measured<train::Train>),
    /// Reading a prompt
    Prefill(Measured<prefill::Prefill>),
    /// Writing token by token
    #[command(after_help = "For example: percept bench decode --config L --weights int8 --streams 8")]
    Decode(Measured<decode::Decode>),
    /// From the start of `percept generate` to its first text
    Start(Measured<start::Start>),
    /// Every kernel by itself, beside the machine's peaks
    Kernels(kernels::Kernels),
    /// Training, prefill, decoding and memory over context lengths and models
    Context(context::Context),
}

impl Bench {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        match &self.task {
            Task::Train(task) => task.run(global),
            Task::Prefill(task) => task.run(global),
            Task::Decode(task) => task.run(global),
            Task::Start(task) => task.run(global),
            Task::Kernels(task) => task.run(global),
            Task::Context(task) => task.run(global),
        }
    }
}

/// A count on the command line.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(0) => Err("use at least 1".to_owned()),
        Ok(count) => Ok(count as usize),
        Err(_) => Err(format!("use a whole number, at most {}", u32::MAX)),
    }
}
