//! `percept quickstart`: no data, no network, no arguments; a trained model and its figures.

mod corpus;

use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use percept::fault::{IoContext, path_text};
use percept::files::json;
use percept::generate::{GenerationConfig, SamplingConfig, generate};
use percept::model::Session;
use percept::score::ngram::Ngram;
use percept::score::{Limits, MemoryTexts, ModelScorer, Protocol, score};
use percept::train::{DeviceChoice, LoadedRun, Outcome, Override, RunConfig, Sources, Which, load_run, resolve, train};
use percept::{Fault, Result};
use serde::Serialize;

use self::corpus::{Corpus, Document};
use crate::arguments::Global;
use crate::arguments::config::sets;
use crate::arguments::run::unused_folder;
use crate::chart::chart;
use crate::fit::ForceArgs;
use crate::terminal::{Style, Terminal, invocation};
use crate::training::{Training, conclude};
use crate::{human, interrupt};

/// The model has to be this much better than the n-gram baseline.
const MARGIN: f64 = 0.05;
/// Bytes of context of the baseline.
const ORDER: usize = 2;
/// What the sample goes on from: the beginning of a documented function.
const PROMPT: &str = "    /// The ";
/// Columns of the chart.
const COLUMNS: usize = 64;

/// Arguments of `percept quickstart`.
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Folder of the run; by default runs/quickstart
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Set one key of the configuration, e.g. --set train.steps=1000; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    force: ForceArgs,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Tried {
    #[serde(serialize_with = "json::path")]
    run: PathBuf,
    bits_per_byte: f64,
    order2_bits_per_byte: f64,
    /// Share of the baseline's bits that the model saves.
    better_by: f64,
    steps: u64,
    train_bytes: u64,
    held_out_bytes: u64,
    sample: String,
    seconds: f64,
}

impl Quickstart {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let begin = Instant::now();
        let terminal = global.terminal();
        let folder = self.run.clone().unwrap_or_else(|| unused_folder(Path::new("runs"), "quickstart"));
        // Its text lies in it, and its configuration names that.
        path_text(&absolute(&folder).at("find", &folder)?, "--run")?;
        let corpus = Corpus::unpack()?;
        let (text, held_out) = corpus.write(&folder.join("text"))?;
        let config = self.config(&text, global)?;
        self.force.check(&terminal, &config)?;
        terminal.say(format!(
            "training a small LLP on {} of this project's own sources and documents; {} are held out",
            human::bytes(corpus::bytes(&corpus.train)),
            human::bytes(corpus::bytes(&corpus.held_out))
        ));
        let mut training = Training::new(terminal);
        let outcome = train(&config, &folder, interrupt::save_first(), &mut |event| training.event(event));
        let curve = std::mem::take(&mut training.curve);
        drop(training);
        let outcome = outcome?;
        if matches!(outcome, Outcome::Interrupted(_)) {
            return conclude(&terminal, &outcome);
        }
        show_curve(&terminal, &curve, &config)?;
        let (device, _) = config.train.device.parse::<DeviceChoice>()?.open()?;
        let run = load_run(&folder, Which::Latest, &device)?;
        let report = Tried { sample: sample(&terminal, &run)?, ..measure(&corpus, &run, folder)? };
        let report = Tried { seconds: begin.elapsed().as_secs_f64(), ..report };
        report.print(&terminal, &held_out)
    }

    fn config(&self, text: &Path, global: &Global) -> Result<RunConfig> {
        let text = text.to_string_lossy().into_owned();
        let mut overrides = vec![Override::flag("the embedded corpus", "data.sources", vec![text])];
        overrides.extend(sets(DEFAULTS.map(str::to_string).as_slice())?);
        overrides.extend(global.device.as_deref().map(|device| Override::flag("--device", "train.device", device)));
        overrides.extend(sets(&self.set)?);
        resolve(&Sources { preset: Some("llp-tiny".into()), file: None, overrides })
    }
}

/// What differs from the preset: about 90 seconds on two cores, and every document not held out is trained on.
const DEFAULTS: [&str; 7] = [
    "data.split.validation=0",
    "data.split.test=0",
    "train.steps=400",
    "train.log_every=5",
    "train.sample_every=0",
    "train.checkpoint_every=100",
    "sample.tokens=0",
];

fn show_curve(terminal: &Terminal, curve: &[f64], config: &RunConfig) -> Result<()> {
    if curve.is_empty() {
        return Ok(());
    }
    terminal.text(Style::Bold.out("\ntraining loss, bits per byte"))?;
    terminal.text(chart(curve, (config.train.log_every, config.train.steps), COLUMNS))
}

fn sample(terminal: &Terminal, run: &LoadedRun) -> Result<String> {
    let mut prompt = vec![run.tokenizer.document_token()];
    prompt.extend(run.tokenizer.encode(PROMPT.as_bytes())?);
    let config = GenerationConfig {
        tokens: 320,
        sampling: SamplingConfig { temperature: 0.7, seed: 1, ..SamplingConfig::default() },
        ..GenerationConfig::default()
    };
    let mut session = Session::new(Arc::new((&run.model).into()));
    let generation = generate(&mut session, &run.tokenizer, &prompt, &config, &mut |_| Ok(()))?;
    let text = format!("{PROMPT}{}", generation.text);
    terminal.text(Style::Bold.out("\nwhat it writes now"))?;
    for line in human::printable(&text).lines() {
        terminal.text(format!("  | {line}"))?;
    }
    Ok(text)
}

/// Scores the model and the baseline on the documents that neither has seen.
fn measure(corpus: &Corpus, run: &LoadedRun, folder: PathBuf) -> Result<Tried> {
    let texts = |documents: &[Document]| -> Vec<Vec<u8>> {
        documents.iter().map(|document| document.text.clone().into_bytes()).collect()
    };
    let held_out = texts(&corpus.held_out);
    let order2_bits_per_byte = Ngram::fit(ORDER, texts(&corpus.train))?.bits_per_byte(&held_out)?;
    let scorer = ModelScorer::new("llp-tiny", &run.model);
    let protocol = Protocol::suited_to(&run.config.model)?;
    let memory = MemoryTexts::new(run.tokenizer.clone(), held_out);
    let score = score(&scorer, &memory, protocol, &Limits::default(), &mut |_| {})?;
    let bits_per_byte = score.bits_per_byte.ok_or_else(|| Fault::internal("the byte tokenizer is lossless"))?;
    Ok(Tried {
        run: folder,
        bits_per_byte,
        order2_bits_per_byte,
        better_by: 1.0 - bits_per_byte / order2_bits_per_byte,
        steps: run.step,
        train_bytes: corpus::bytes(&corpus.train),
        held_out_bytes: corpus::bytes(&corpus.held_out),
        sample: String::new(),
        seconds: 0.0,
    })
}

impl Tried {
    fn print(&self, terminal: &Terminal, held_out: &Path) -> Result<()> {
        terminal.text(Style::Bold.out("\nheld-out documents, bits per byte (lower is better)"))?;
        terminal.text(format!("  {:<44} {:.3}", "this model", self.bits_per_byte))?;
        terminal.text(format!(
            "  {:<44} {:.3}",
            "order-2 byte model (Witten-Bell), same text", self.order2_bits_per_byte
        ))?;
        terminal.text(format!("  {:<44} {:.1} %", "saved", 100.0 * self.better_by))?;
        terminal.json(self)?;
        if self.better_by < MARGIN {
            return Err(Fault::check(format!(
                "the model is {:.1} % better than the order-2 byte model; {:.0} % are expected",
                100.0 * self.better_by,
                100.0 * MARGIN
            ))
            .hint(format!("train on: percept resume {} --steps {}", self.run.display(), 4 * self.steps)));
        }
        let percept = invocation();
        terminal
            .text(Style::Bold.out(&format!("\ndone in {}; next, with your own text", human::duration(self.seconds))))?;
        terminal.text(format!("  {percept} train llp-tiny --data YOUR-TEXTS/ --run runs/mine"))?;
        terminal.text(format!("  {percept} eval runs/mine --data HELD-OUT.txt"))?;
        terminal.text(format!("  {percept} generate runs/mine --prompt 'Once upon a time'"))?;
        terminal.say(format!("\nthis run: {}; its held-out text: {}", human::path(&self.run), human::path(held_out)));
        Ok(())
    }
}
