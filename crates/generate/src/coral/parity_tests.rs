//! Parity with traces of the authors' decoder (COrAL), and of its exact variant where theirs deviates.
//!
//! Fixtures come from the folder in `PERCEPT_CORAL_FIXTURES`, or from `shared/fixtures/coral` beside the repository; without either the test
//! says that it was skipped.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use percept_model::config::Offsets;
use safetensors::SafeTensors;

use super::config::{CoralConfig, Tree};
use super::decoder::{Chosen, Decoder, End};
use super::draft::Ensemble;
use super::table::Table;

/// Of floats, relative to their norm.
const CLOSE: f64 = 1e-5;

struct Trace {
    name: String,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl Trace {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        Self { name: path.display().to_string(), bytes, metadata }
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        self.metadata[key].parse().unwrap_or_else(|_| panic!("{}: {key} is no number", self.name))
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{}: there is no {name}", self.name));
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn integers(&self, name: &str) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{}: there is no {name}", self.name));
        view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize).collect()
    }

    fn tokens(&self, name: &str) -> Vec<u32> {
        self.integers(name).into_iter().map(|token| token as u32).collect()
    }

    fn offsets(&self) -> Offsets {
        Offsets { forward: self.number("forward"), backward: self.number("backward") }
    }

    fn table(&self) -> Table {
        let vocab: usize = self.number("vocab");
        let rows = self.floats("table").chunks(vocab).map(<[f32]>::to_vec).collect();
        let boosts = ["boost_match", "boost_mismatch"].map(|name| self.floats(name));
        Table { rows, truth: self.tokens("truth"), offsets: self.offsets(), boosts }
    }

    fn config(&self) -> CoralConfig {
        let tree = Tree {
            width: self.number("top_k"),
            forward: self.number("eval_forward"),
            backward: self.number("eval_backward"),
            epsilon: self.number("epsilon"),
        };
        assert_eq!(self.metadata["force_repeat"], "true");
        let config = CoralConfig {
            block: self.number("block"),
            occurrences: self.number("occurrence_threshold"),
            tree: (self.metadata["verify"] == "true").then_some(tree),
            most_rounds: Some(self.number("max_rounds")),
            seed: 0,
        };
        config.validate(self.offsets()).unwrap();
        assert_eq!(config.nodes(), self.number::<usize>("max_tree_nodes"));
        config
    }

    fn close(&self, name: &str, ours: &[f64]) {
        let theirs = self.floats(name);
        assert_eq!(ours.len(), theirs.len(), "{}: {name}", self.name);
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let difference = squares(&mut ours.iter().zip(&theirs).map(|(a, b)| a - f64::from(*b)));
        let error = (difference / squares(&mut theirs.iter().map(|x| f64::from(*x))).max(1e-12)).sqrt();
        assert!(error <= CLOSE, "{}: {name} is off by {error:.2e}", self.name);
    }

    /// Compares what a round did.
    fn check(&self, step: usize, decoder: &Decoder, (ensemble, round): (&Ensemble, &Chosen), drawn: &[f64]) {
        let name = |what: &str| format!("step.{step:03}.{what}");
        let at = format!("{}, round {step}", self.name);
        self.close(&name("ensemble"), &ensemble.concat());
        assert_eq!(round.tokens, self.tokens(&name("tokens")), "{at}");
        self.close(&name("token_prob"), &round.probabilities);
        assert_eq!(decoder.text(), self.tokens(&name("output")), "{at}");
        assert_eq!(decoder.counts(), self.integers(&name("counts")), "{at}");
        assert_eq!(decoder.fixed(), self.integers(&name("fixed"))[0], "{at}");
        let Some((paths, judged, chosen)) = &round.tree else { return };
        let theirs = self.tokens(&name("candidates"));
        let theirs: Vec<&[u32]> = theirs.chunks(round.tokens.len()).collect();
        let distinct = paths.iter().map(Vec::as_slice).collect::<BTreeSet<_>>();
        assert_eq!(distinct, theirs.iter().copied().collect(), "{at}");
        assert_eq!(paths[*chosen], theirs[self.integers(&name("selected"))[0]], "{at}");
        let mean = |path: &&[u32]| judged[paths.iter().position(|ours| ours == path).unwrap()].mean();
        self.close(&name("path_loss"), &theirs.iter().map(mean).collect::<Vec<_>>());
        self.close(&name("token_loss"), &judged[*chosen].losses);
        self.close(&name("next_token_loss"), &judged[*chosen].next);
        self.close(&name("accept_ratio"), &judged[*chosen].agreement);
        self.close(&name("uniform"), drawn);
    }

    fn replay(&self) {
        let (mut table, prompt) = (self.table(), self.tokens("prompt"));
        let end = End { most: self.number("max_length"), token: Some(self.number("eos")) };
        let mut decoder = Decoder::new(&prompt, self.config(), self.offsets(), end);
        let (uniforms, mut drawn) = (self.floats("uniforms"), 0);
        let steps: usize = self.number("steps");
        for step in 0..steps {
            let question = decoder.question();
            let range = [&question.sources, &question.targets].map(|range| [*range.start(), *range.end()]);
            assert_eq!(range.as_flattened(), self.integers(&format!("step.{step:03}.range")), "{}", self.name);
            assert_eq!(decoder.text(), self.tokens(&format!("step.{step:03}.input")), "{}", self.name);
            let before = drawn;
            let mut draw = || {
                drawn += 1;
                f64::from(uniforms[drawn - 1])
            };
            let ensemble = decoder.draft(&mut table).unwrap();
            let chosen = decoder.choose(&mut table, &ensemble).unwrap();
            let flow = decoder.fix(&chosen, &mut draw);
            let used: Vec<f64> = uniforms[before..drawn].iter().map(|u| f64::from(*u)).collect();
            self.check(step, &decoder, (&ensemble, &chosen), &used);
            assert_eq!(flow.is_break(), step + 1 == steps, "{}, round {step}", self.name);
        }
        assert_eq!(decoder.text(), self.tokens("output"), "{}", self.name);
        assert!(self.metadata["verify"] == "false" || drawn == uniforms.len(), "{}: draws are left", self.name);
    }
}

#[test]
fn coral_parity_of_decoding() {
    let folder = match std::env::var_os("PERCEPT_CORAL_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/coral")),
    };
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there are no fixtures at {} (set PERCEPT_CORAL_FIXTURES)", folder.display());
        return;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    let mut traces: Vec<Trace> = paths.iter().map(|path| Trace::read(path)).collect();
    traces.retain(|trace| trace.metadata["kind"] == "decode");
    assert!(!traces.is_empty(), "{} holds no trace", folder.display());
    traces.iter().for_each(Trace::replay);
}
