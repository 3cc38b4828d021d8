//! The command-line program. It parses, calls one command, and turns the outcome into an exit code.

mod arguments;
mod chart;
mod cli;
mod commands;
mod comparison;
mod crash;
mod fit;
mod human;
mod interrupt;
mod machine;
mod meter;
mod out_of_memory;
mod parts;
mod screen;
mod table;
mod terminal;
mod training;
mod usage;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: out_of_memory::OrExit = out_of_memory::OrExit;

fn main() -> ExitCode {
    match crash::guard(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            terminal::print_fault(&fault);
            ExitCode::from(fault.exit_code())
        }
    }
}

fn run() -> percept::Result<()> {
    let Some(cli) = cli::parse()? else { return Ok(()) };
    interrupt::install()?;
    cli.start()
}
