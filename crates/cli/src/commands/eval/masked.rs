//! `percept eval` of an encoder: masked perplexity and pseudo-log-likelihood.

use percept::data::Corpus;
use percept::model::KeyValuePrecision;
use percept::score::CorpusTexts;
use percept::score::masked::{MaskedScore, Masker, PseudoScore, masked_score, pseudo_score};
use percept::{Fault, Result};
use serde::Serialize;

use super::Eval;
use crate::arguments::{Global, Weights};
use crate::human;
use crate::meter::Meter;
use crate::terminal::{Style, Terminal};
use crate::training::DataMeter;

/// What `--json` gives.
#[derive(Debug, Serialize)]
struct Evaluation {
    model: String,
    #[serde(flatten)]
    masked: MaskedScore,
    /// With `--pseudo`.
    pseudo: Option<PseudoScore>,
}

impl Eval {
    pub(super) fn run_encoder(&self, global: &Global) -> Result<()> {
        self.check_encoder_flags()?;
        let terminal = global.terminal();
        let run = self.run.load_encoder(global)?;
        let corpus = Corpus::open(&self.data.config()?, &run.tokenizer, &mut DataMeter::new(terminal))?;
        let texts = CorpusTexts::of_corpus(&run.tokenizer, &corpus);
        let masker = Masker::new(&run.tokenizer, run.config.masking.clone());
        let all = corpus.statistics().tokens;
        let total = self.limit.map_or(all, |limit| all.min(limit as u64));
        let mut meter = Meter::new(terminal, "scoring", total);
        let masked = masked_score(&run.model, &masker, &texts, self.limit, &mut |done| meter.set(done, String::new))?;
        let pseudo = match self.pseudo {
            false => None,
            true => {
                meter = Meter::new(terminal, "scoring each token alone", total);
                let mut progress = |done| meter.set(done, String::new);
                Some(pseudo_score(&run.model, &masker, &texts, self.limit, &mut progress)?)
            }
        };
        drop(meter);
        let evaluation = Evaluation { model: self.run.name(run.step), masked, pseudo };
        print(&terminal, &evaluation)?;
        terminal.json(&evaluation)
    }

    /// Refuses what has no meaning for an encoder.
    fn check_encoder_flags(&self) -> Result<()> {
        let given = [
            ("--window", self.window.is_some()),
            ("--stride", self.stride.is_some()),
            ("--document-limit", self.document_limit.is_some()),
            ("--context-only", self.context_only > 0),
            ("--words", self.words.is_some()),
            ("--weights", self.weights != Weights::F32),
            ("--keys-values", self.keys_values.precision() != KeyValuePrecision::F32),
            ("--suite", self.suites.is_given()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Fault::usage(format!("{flag} is for language models, and this run is an encoder"))
                .hint("an encoder takes --data, --limit and --pseudo")),
            None => Ok(()),
        }
    }
}

fn print(terminal: &Terminal, evaluation: &Evaluation) -> Result<()> {
    let row = |name: &str, value: String| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<18}"))));
    let Evaluation { model, masked, pseudo } = evaluation;
    let over = |targets: u64, documents: usize| {
        format!("{} in {}", human::grouped(targets), human::plural(documents as u64, "document"))
    };
    row("model", model.clone())?;
    row("protocol", masked.protocol.clone())?;
    row("targets", over(masked.targets, masked.documents))?;
    row("masked perplexity", format!("{:.4}", masked.masked_perplexity))?;
    row("speed", format!("{} tokens/s", human::short(masked.tokens_per_s)))?;
    let Some(pseudo) = pseudo else { return Ok(()) };
    row("protocol", pseudo.protocol.clone())?;
    row("targets", over(pseudo.targets, pseudo.documents))?;
    row("pseudo-log-lik.", format!("{:.2}", pseudo.pseudo_log_likelihood))?;
    row("pseudo-perplexity", format!("{:.4}", pseudo.pseudo_perplexity))
}
