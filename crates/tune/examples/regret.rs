//! Regret of every method on a table of evaluated configurations: `regret SPEC.toml TABLE.csv.zst [TRIALS [SEEDS [RUNGS [FACTOR]]]]`.
//! Prints CSV: for each method the mean regret and its standard deviation over the seeds, after so many trials and at so much cost.

use std::env::args;
use std::path::Path;

use percept_fault::{Fault, Result};
use percept_tune::{Halving, Method, Space, Study, Table};

/// Rows of each method.
const ROWS: usize = 20;

fn main() -> std::process::ExitCode {
    match run(&args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => 0.into(),
        Err(fault) => {
            eprintln!("error: {fault}\nhint: {}", fault.hint_text().unwrap_or("see the documentation of percept-tune"));
            fault.exit_code().into()
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let [spec, table, numbers @ ..] = arguments else {
        return Err(
            Fault::usage("a file is missing").hint("regret SPEC.toml TABLE.csv.zst [TRIALS [SEEDS [RUNGS [FACTOR]]]]")
        );
    };
    let number = |index: usize, default: u32| match numbers.get(index) {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| Fault::usage(format!("`{text}` is no number")).hint("write for example 100"))
        }
    };
    let (trials, seeds) = (number(0, 100)? as usize, number(1, 200)?);
    let halving = Halving { rungs: number(2, 1)?, factor: number(3, 3)? };
    let table = Table::read(Path::new(table), Space::read(Path::new(spec))?)?;
    println!("method,trials,regret,deviation,cost,regret_at_cost,deviation_at_cost");
    for method in Method::all() {
        let study = Study::run(&table, &method, halving, trials, u64::from(seeds))?;
        for row in 1..=ROWS {
            let (trials, cost) = ((trials * row).div_ceil(ROWS), study.cost() * row as f64 / ROWS as f64);
            let (after, at) = (study.after(trials), study.at_cost(cost));
            println!(
                "{},{trials},{},{},{cost},{},{}",
                study.method, after.mean, after.deviation, at.mean, at.deviation
            );
        }
    }
    Ok(())
}
