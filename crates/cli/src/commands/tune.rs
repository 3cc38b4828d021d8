//! `percept tune`: search of hyperparameters.

use std::path::{Path, PathBuf};

use clap::Args;
use percept::compare::tuning::{
    AxisInfo, SPACE, Strategy, TABLE, TUNE, TuneEnded, TunePreview, TuneReport, TuneSpec, Tuning, shown, tune_words,
    write_tune_page,
};
use percept::compare::{Budget, Purpose};
use percept::tune::Halving;
use percept::{Fault, Result};

use crate::arguments::Global;
use crate::arguments::config::{TrainingArgs, environment, sets};
use crate::comparison::{Comparing, print_table, table};
use crate::terminal::{Style, Terminal, invocation};
use crate::training::DataMeter;
use crate::{human, interrupt, out_of_memory};

/// Trials that are shown here; the page has all.
const SHOWN: usize = 10;

/// Arguments of `percept tune`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept tune docs/tune/llp-3m.toml --data my-texts/ --algorithm tpe --halving\n\
    The same command goes on where it was interrupted. What a file says, and what the algorithms do: docs/tuning.md.")]
pub(crate) struct Tune {
    /// File that says what to search; flags change it
    #[arg(value_name = "SPEC")]
    spec: PathBuf,
    /// How configurations are chosen: reinforce, independent, random, evolution, tpe; or grid, which tries all of them
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,
    /// What a whole trial may use: 6M tokens, 6M targets, 1e15 flops
    #[arg(long, value_name = "AMOUNT")]
    budget: Option<String>,
    /// Trials in all, those of every rung counted
    #[arg(long, value_name = "N")]
    trials: Option<u64>,
    /// Successive halving: most trials have a small share of the budget, the best third of each rung goes on [default number of rungs: 3]
    #[arg(long, value_name = "RUNGS", num_args = 0..=1, require_equals = true, default_missing_value = "3")]
    halving: Option<u32>,
    /// Seed of the search
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Folder of the runs and the report; by default tunings/ and the name of the file
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Show what would run, and which configurations cannot, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Set one key of every trial's configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    training: TrainingArgs,
}

impl Tune {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let spec = self.specification(global)?;
        let folder = self.out.clone().unwrap_or_else(|| Path::new("tunings").join(&spec.name));
        let tuning = {
            let mut meter = DataMeter::new(terminal);
            let purpose = if self.dry_run { Purpose::Preview } else { Purpose::Run };
            Tuning::new(spec, &folder, purpose, &mut meter)?
        };
        tuning.notes().for_each(|note| terminal.warn(note));
        if self.dry_run {
            let preview = tuning.preview()?;
            print_preview(&terminal, &preview)?;
            return terminal.json(&preview);
        }
        out_of_memory::hint_same_command();
        let ended = {
            let mut comparing = Comparing::new(terminal, "tuning");
            tuning.run(interrupt::save_first(), &mut |event| comparing.event(event))?
        };
        conclude(&terminal, &ended, &folder)
    }

    /// The file, with the flags on top.
    fn specification(&self, global: &Global) -> Result<TuneSpec> {
        let mut spec = TuneSpec::read(&self.spec)?;
        if let Some(name) = &self.algorithm {
            // The file's settings are those of the file's algorithm.
            let named = Strategy::named(name).map_err(|fault| fault.at("--algorithm: "))?;
            if named.name() != spec.strategy.name() {
                spec.strategy = named;
            }
        }
        if let Some(budget) = &self.budget {
            spec.budget = Some(budget.parse::<Budget>()?);
        }
        if let Some(rungs) = self.halving {
            spec.halving = Halving { rungs, ..spec.halving };
        }
        spec.trials = self.trials.unwrap_or(spec.trials);
        spec.seed = self.seed.unwrap_or(spec.seed);
        spec.base.extend(environment()?);
        spec.base.extend(sets(&self.set)?);
        spec.base.extend(self.training.overrides(global));
        Ok(spec)
    }
}

/// Prints the end; an interrupted search is a fault with exit code 130.
fn conclude(terminal: &Terminal, ended: &TuneEnded, folder: &Path) -> Result<()> {
    let (TuneEnded::Finished(found) | TuneEnded::Interrupted(found)) = ended;
    let page = write_tune_page(folder, found)?;
    terminal.json(found)?;
    if matches!(ended, TuneEnded::Interrupted(_)) {
        return Err(Fault::interrupted("interrupted; what was trained is saved")
            .hint(format!("the same `{} tune` command goes on from there", invocation())));
    }
    terminal.text(Style::Bold.out(&found.name))?;
    print(terminal, found)?;
    if let Some(run) = found.best().and_then(|best| best.folder.as_ref()) {
        terminal.say(format!("the best configuration: {}", human::path(&folder.join(run).join("config.toml"))));
    }
    let table = match found.strategy {
        Strategy::Grid if found.best().is_some() => vec![folder.join(TABLE), folder.join(SPACE)],
        _ => Vec::new(),
    };
    table.iter().for_each(|file| terminal.say(format!("table: {}", human::path(file))));
    for file in [folder.join(TUNE), page] {
        terminal.say(format!("report: {}", human::path(&file)));
    }
    match found.best() {
        Some(_) => Ok(()),
        None => Err(nothing_found(found)),
    }
}

/// No trial has a figure: says why the first has none.
fn nothing_found(found: &TuneReport) -> Fault {
    let first = found.trials.first().and_then(|trial| trial.message.as_deref());
    Fault::check(format!("no trial has a figure; the first: {}", first.unwrap_or("it has none")))
        .hint("`--dry-run` says which configurations can be trained; where all diverge, search lower learning rates")
}

/// The best trials as a table, and what there is to say.
fn print(terminal: &Terminal, found: &TuneReport) -> Result<()> {
    let ranked = found.ranked();
    if !ranked.is_empty() {
        let head: Vec<&str> = found.space.iter().map(AxisInfo::short).collect();
        let rung = if found.halving.rungs > 1 { vec!["rung"] } else { Vec::new() };
        let head = [vec!["trial"], rung, head, vec![found.metric.name(), "parameters", "seed"]].concat();
        let mut shown_trials = table(&head);
        for trial in ranked.iter().take(SHOWN) {
            let mut row = vec![trial.number.to_string()];
            row.extend((found.halving.rungs > 1).then(|| trial.rung.to_string()));
            row.extend(found.space.iter().map(|axis| trial.values.get(&axis.key).map(shown).unwrap_or_default()));
            row.push(trial.metric.map_or("-".into(), |metric| format!("{metric:.4}")));
            row.push(trial.parameters.map_or("-".into(), human::grouped));
            row.push(trial.seed.to_string());
            shown_trials.add_row(row);
        }
        print_table(terminal, &mut shown_trials, 0)?;
        if ranked.len() > SHOWN {
            terminal.text(format!("and {} more", ranked.len() - SHOWN))?;
        }
        terminal.text("")?;
    }
    for sentence in tune_words(found) {
        terminal.text(sentence)?;
    }
    Ok(())
}

/// What would run.
fn print_preview(terminal: &Terminal, preview: &TunePreview) -> Result<()> {
    let mut keys = table(&["key", "values"]);
    for axis in &preview.space {
        keys.add_row([axis.key.clone(), axis.values.iter().map(shown).collect::<Vec<_>>().join(" | ")]);
    }
    print_table(terminal, &mut keys, 2)?;
    terminal.text(format!(
        "\n{} over {} configurations: {}, which take {:.1} whole budgets at most\n\
         budget of a whole trial: {}; the configuration that it starts from has {} parameters and takes {} FLOPs",
        preview.algorithm,
        human::grouped(preview.configurations as u64),
        human::plural(preview.trials, "trial"),
        preview.budgets,
        preview.budget,
        human::grouped(preview.parameters),
        human::short(preview.flops),
    ))?;
    match &preview.example {
        None => terminal.text(format!("{} looked at: all can be trained", human::grouped(preview.looked_at as u64))),
        Some(example) => terminal.text(format!(
            "{} of the {} looked at cannot be trained: the first, {example}",
            human::grouped(preview.unusable as u64),
            human::grouped(preview.looked_at as u64)
        )),
    }
}
