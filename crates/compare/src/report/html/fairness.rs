//! What was equal, where it ran, and every run by itself.

use super::table::{Cell, Table, number, text};
use super::{quality, section as framed, styled};
use crate::report::Report;
use crate::report::figures::{MISSING, amount, bytes, count, loss, seconds};
use crate::{Fairness, LearningRate, Matching, ModelResult, RunResult};
use percept_chart::{Unit, escape, swatch};

/// One row per model and seed, and the sweeps.
pub(super) fn runs(report: &Report) -> String {
    let models = styled(&report.comparison);
    let rows: Vec<Vec<Cell>> =
        models.flat_map(|(style, model)| model.runs.iter().map(move |run| run_row(style, model, run))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = vec![
        text("Model", ""),
        number("Seed", ""),
        number("Learning rate", "The highest of the schedule"),
        number("Steps", "Optimizer steps"),
        number("Tokens", "Positions fed"),
        number("Targets", "Targets trained"),
        number("FLOPs", "Operations of training, by the cost model"),
        number("Time", "Time of training, without validation"),
        number("Best step", "The step with the lowest validation loss: its checkpoint is tested"),
        number("Validation", "The lowest validation value"),
        number("Test", "Scored once, at the end"),
        text("Fingerprint", "Hash of configuration, data, seed and budget"),
    ];
    let table = Table { caption: "Every run".into(), columns, rows }.render();
    framed("runs", "Runs", "", &(table + &sweeps(report)))
}

fn run_row(style: usize, model: &ModelResult, run: &RunResult) -> Vec<Cell> {
    let last = run.curve.last();
    let best = run.best.map(|best| best.bits_per_byte.unwrap_or(best.loss));
    vec![
        Cell::html(format!("{}{}", swatch(style), escape(&model.name)), &model.name),
        Cell::number(run.seed as f64, &run.seed.to_string()),
        Cell::number(run.learning_rate, &Unit::Plain.value(run.learning_rate)),
        Cell::number(run.steps as f64, &run.steps.to_string()),
        Cell::optional(last.map(|point| point.tokens as f64), count),
        Cell::optional(last.map(|point| point.targets as f64), count),
        Cell::optional(last.map(|point| point.flops), count),
        Cell::optional(last.map(|point| point.seconds), seconds),
        Cell::optional(run.best.map(|best| best.step as f64), |step| format!("{step:.0}")),
        Cell::optional(best, loss),
        match &run.failure {
            Some(failure) => Cell::text(&failure.in_words()),
            None => Cell::optional(run.test.as_ref().map(|test| test.value()), loss),
        },
        Cell::html(format!("<code>{}</code>", escape(&short(&run.fingerprint))), &run.fingerprint),
    ]
}

/// What each learning rate of a sweep led to: a row per run, a column per rate.
fn sweeps(report: &Report) -> String {
    let runs = || report.comparison.models.iter().flat_map(|model| model.runs.iter().map(move |run| (model, run)));
    let mut rates: Vec<f64> = runs().flat_map(|(_, run)| &run.sweep).map(|point| point.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    if rates.is_empty() {
        return String::new();
    }
    let swept = runs().filter(|(_, run)| !run.sweep.is_empty());
    let rows = swept.map(|(model, run)| {
        let values = rates.iter().map(|rate| sweep_cell(run, *rate));
        [Cell::text(&model.name), Cell::number(run.seed as f64, &run.seed.to_string())]
            .into_iter()
            .chain(values)
            .collect()
    });
    let rates = rates.iter().map(|rate| number(Unit::Plain.value(*rate), "Validation value after the sweep"));
    let columns = [text("Model", ""), number("Seed", "")].into_iter().chain(rates).collect();
    let caption = format!("Sweep of the learning rate: validation, {}; the chosen rate is bold", quality(report));
    Table { caption, columns, rows: rows.collect() }.render()
}

fn sweep_cell(run: &RunResult, rate: f64) -> Cell {
    let Some(point) = run.sweep.iter().find(|point| point.learning_rate == rate) else { return Cell::missing() };
    let class = if rate == run.learning_rate { "best" } else { "" };
    match point.bits_per_byte.or(point.loss) {
        Some(value) => Cell::marked(value, &loss(value), class),
        None => Cell::html("diverged".into(), ""),
    }
}

/// What was equal, and where it ran.
pub(super) fn section(report: &Report) -> String {
    let comparison = &report.comparison;
    let (fairness, protocol) = (&comparison.fairness, &comparison.protocol);
    let seeds: Vec<String> = fairness.seeds.iter().map(u64::to_string).collect();
    let test =
        protocol.test_limit.map_or(String::new(), |limit| format!(", the first {} targets", count(limit as f64)));
    let mut facts = vec![
        ("Budget", format!("{} for each run", amount(comparison.budget.kind, comparison.budget.amount))),
        ("Seconds", comparison.seconds_in_words()),
        ("Tokenizer", format!("{} ({})", fairness.tokenizer, short(&fairness.tokenizer_hash))),
        ("Windows", format!("{} tokens, {} tokens per step", fairness.context, fairness.tokens_per_step)),
        ("Seeds", seeds.join(", ")),
        ("Data order", data_order(fairness)),
        ("Parameters", matching(fairness.parameters)),
        ("Learning rate", format!("{}; {}", learning_rate(&fairness.learning_rate), fairness.schedule)),
        ("Selection", fairness.selection.clone()),
        (
            "Test protocol",
            format!(
                "windows of {} tokens, of which each scores its last {}, so that every target but the first ones of a \
                 document has at least {} tokens of context ({}){test}",
                protocol.window, protocol.stride, protocol.guaranteed_context, protocol.text
            ),
        ),
        ("Validation", format!("{} targets for each point of a curve", count(protocol.validation_targets as f64))),
    ];
    facts.extend(environment(report));
    let facts: String =
        facts.iter().map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(fact))).collect();
    let body = format!("<dl>\n{facts}</dl>\n{}{}", splits(report), configurations(report));
    format!("<footer>\n{}</footer>\n", framed("fairness", "What was equal", "", &body))
}

fn environment(report: &Report) -> Vec<(&'static str, String)> {
    let own = &report.comparison.environment;
    let commit = own.commit.as_deref().map_or(String::new(), |commit| format!(", commit {commit}"));
    let cpu = own.cpu.as_deref().unwrap_or("unknown processor");
    let plural = if own.threads == 1 { "" } else { "s" };
    vec![
        ("Program", format!("Percept {}{commit}", own.version)),
        (
            "Machine",
            format!("{}, {cpu}, {} thread{plural}, device {}, {}", own.system, own.threads, own.device, own.precision),
        ),
    ]
}

fn data_order(fairness: &Fairness) -> String {
    let orders: Vec<String> = fairness
        .data_order
        .iter()
        .map(|order| {
            let verdict = if order.equal { "equal for all models" } else { "NOT equal" };
            format!("seed {}: {verdict} up to step {} ({})", order.seed, order.step, short(&order.hash))
        })
        .collect();
    if orders.is_empty() { MISSING.into() } else { orders.join("; ") }
}

fn matching(matching: Matching) -> String {
    match matching {
        Matching::AsGiven => "as given in each configuration".into(),
        Matching::Matched { target, tolerance } => {
            format!(
                "matched to {} ± {}, by the feed-forward width",
                count(target as f64),
                Unit::Percent.value(tolerance)
            )
        }
    }
}

fn learning_rate(choice: &LearningRate) -> String {
    match choice {
        LearningRate::AsGiven => "as configured".into(),
        LearningRate::Sweep { factors, fraction } => {
            let factors: Vec<String> = factors.iter().map(|factor| Unit::Plain.value(*factor)).collect();
            let share = Unit::Percent.value(*fraction);
            format!(
                "for each model the best of {} times the configured one, tried with {share} of the budget",
                factors.join(", ")
            )
        }
    }
}

fn splits(report: &Report) -> String {
    let whole = |value: u64| Cell::number(value as f64, &count(value as f64));
    let rows: Vec<Vec<Cell>> = report
        .comparison
        .corpus
        .splits
        .iter()
        .map(|split| {
            let size = Cell::number(split.bytes as f64, &bytes(split.bytes));
            let hash = Cell::html(format!("<code>{}</code>", escape(&short(&split.hash))), &split.hash);
            vec![Cell::text(&split.name), whole(split.documents), size, whole(split.words), whole(split.tokens), hash]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = vec![
        text("Split", ""),
        number("Documents", ""),
        number("Bytes", ""),
        number("Words", ""),
        number("Tokens", ""),
        text("Hash", ""),
    ];
    Table { caption: "The text".into(), columns, rows }.render()
}

fn configurations(report: &Report) -> String {
    let models = report.comparison.models.iter().filter(|model| !model.config.is_empty());
    let details = models.map(|model| {
        format!(
            "<details><summary>{}: feed-forward width {}</summary><pre>{}</pre></details>\n",
            escape(&model.name),
            model.cost.feed_forward_dim,
            escape(&model.config)
        )
    });
    let details: String = details.collect();
    if details.is_empty() { details } else { format!("<h3>Configurations</h3>\n{details}") }
}

/// The start of a hash.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}
