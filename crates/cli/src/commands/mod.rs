//! One file per command: its arguments, what it does, what it prints.

mod bench;
mod cluster;
mod compare;
mod completions;
mod data;
mod doctor;
mod eval;
mod export;
mod fill;
mod generate;
mod import;
mod plan;
mod presets;
mod quickstart;
mod report;
mod resume;
mod runs;
mod serve;
mod state;
mod suite;
mod tokenizer;
mod train;
mod tune;
mod verify;

use clap::Subcommand;
use percept::Result;

use crate::arguments::Global;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a small model on text that the program carries: no data, no network
    Quickstart(quickstart::Quickstart),
    /// Look at this machine: cores, SIMD, memory, devices, what is compiled in
    Doctor(doctor::Doctor),
    /// List the presets, or show one
    Presets(presets::Presets),
    /// Say what a configuration costs: parameters, memory, time
    Plan(plan::PlanCommand),
    /// Train a model on your text
    Train(train::Train),
    /// Go on with an interrupted run, or train a finished one longer
    Resume(resume::Resume),
    /// List, show, compare and watch the runs in a folder
    Runs(runs::Runs),
    /// Score a trained model on text: perplexity and bits per byte
    Eval(eval::Eval),
    /// Compare several models on one text under equal conditions
    Compare(Box<compare::Compare>),
    /// Ask models problems, directly and with a chain of thought: what can they compute?
    Suite(Box<suite::SuiteCommand>),
    /// Search the hyperparameters of a model: learning rate, width, schedule, any key
    Tune(tune::Tune),
    /// Write a comparison or a suite as jobs of Slurm or Kubernetes
    Cluster(cluster::Cluster),
    /// Render the report of a comparison again: HTML, CSV, and a table here
    Report(report::ReportCommand),
    /// Generate text from a prompt
    Generate(generate::Generate),
    /// Tell the masked tokens of a text, by an encoder
    Fill(fill::Fill),
    /// Serve trained models over HTTP, in the shape of OpenAI's API
    Serve(serve::Serve),
    /// Look at text before training on it
    Data(data::Data),
    /// Train a tokenizer, or look at one
    Tokenizer(tokenizer::TokenizerCommand),
    /// Save, inspect or load the running state of a model
    State(state::State),
    /// Time training, reading, writing and single kernels, and compare with other programs
    Bench(bench::Bench),
    /// Check that a model keeps its promises: causality, state, reach and more
    Verify(verify::Verify),
    /// Bring in weights from elsewhere
    Import(import::Import),
    /// Write weights, configuration and tokenizer of a run into one folder
    Export(export::Export),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

impl Command {
    /// Runs the command; `tree` is that of all commands.
    pub(crate) fn run(&self, global: &Global, tree: clap::Command) -> Result<()> {
        match self {
            Command::Quickstart(command) => command.run(global),
            Command::Doctor(command) => command.run(global),
            Command::Presets(command) => command.run(global),
            Command::Plan(command) => command.run(global),
            Command::Train(command) => command.run(global),
            Command::Resume(command) => command.run(global),
            Command::Runs(command) => command.run(global),
            Command::Eval(command) => command.run(global),
            Command::Compare(command) => command.run(global),
            Command::Suite(command) => command.run(global),
            Command::Tune(command) => command.run(global),
            Command::Cluster(command) => command.run(global, tree),
            Command::Report(command) => command.run(global),
            Command::Generate(command) => command.run(global),
            Command::Fill(command) => command.run(global),
            Command::Serve(command) => command.run(global),
            Command::Data(command) => command.run(global),
            Command::Tokenizer(command) => command.run(global),
            Command::State(command) => command.run(global),
            Command::Bench(command) => command.run(global),
            Command::Verify(command) => command.run(global),
            Command::Import(command) => command.run(global),
            Command::Export(command) => command.run(global),
            Command::Completions(command) => command.run(tree),
        }
    }
}
