//! The score of a known text against a calculation of its own: plain loops in f64 over the weights of a tiny LLP.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use percept_data::Tokenizer;
use percept_model::{LanguageModel, ModelConfig, parameters};

use super::*;

const DIM: usize = 8;
const HEADS: usize = 2;
const WIDTH: usize = DIM / HEADS;
const SEGMENT: usize = 3;
const DEPTH: usize = 2;
const VOCAB: usize = 257;
const TEXT: &str = "the cat sat on the mat\nand so did I";

fn config() -> ModelConfig {
    ModelConfig {
        vocab: VOCAB,
        dim: DIM,
        heads: HEADS,
        depth: DEPTH,
        context: 12,
        init_std: 0.4,
        ..ModelConfig::default().with("segment", SEGMENT).unwrap()
    }
}

/// A model whose norms are moved off one, too, so that leaving one out would show.
fn model() -> LanguageModel {
    let model = LanguageModel::new(&config(), 3, &Device::flex()).unwrap();
    parameters::map(model, |path, shape, tensor| match shape {
        [size] if path.contains("norm") => {
            let values: Vec<f32> =
                (0..*size).map(|at| 0.5 + 0.3 * (at as f32 * 1.7 + path.len() as f32).sin()).collect();
            Tensor::from_data(values.as_slice(), &tensor.device())
        }
        _ => tensor,
    })
}

type Rows = Vec<Vec<f64>>;

struct Weights(BTreeMap<String, (Vec<usize>, Vec<f64>)>);

impl Weights {
    fn of(model: &LanguageModel) -> Self {
        let convert = |named: parameters::NamedTensor| (named.shape, named.data.into_data().iter::<f64>().collect());
        Self(parameters::collect(model).into_iter().map(|(path, named)| (path, convert(named))).collect())
    }

    fn row(&self, path: &str, row: usize) -> Vec<f64> {
        let (shape, values) = &self.0[path];
        values[row * shape[1]..(row + 1) * shape[1]].to_vec()
    }

    /// x W with W `[inputs, outputs]`.
    fn linear(&self, path: &str, x: &[f64]) -> Vec<f64> {
        let (shape, values) = &self.0[&format!("{path}.weight")];
        (0..shape[1]).map(|out| x.iter().enumerate().map(|(i, x)| x * values[i * shape[1] + out]).sum()).collect()
    }

    fn norm(&self, path: &str, x: &[f64]) -> Vec<f64> {
        let gamma = &self.0[&format!("{path}.gamma")].1;
        let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        x.iter().zip(gamma).map(|(x, gamma)| x / (mean_square + 1e-6).sqrt() * gamma).collect()
    }

    /// Heads of a projected row, normalised and rotated (half-split pairs, base 10000).
    fn heads(&self, projection: &str, name: &str, x: &[f64], position: usize) -> Rows {
        let projected = self.linear(&format!("{projection}.{name}"), x);
        let turn = |head: &[f64]| {
            let head = self.norm(&format!("{projection}.{name}_norm"), head);
            let mut turned = vec![0.0; WIDTH];
            for pair in 0..WIDTH / 2 {
                let angle = position as f64 * 10000f64.powf(-(2.0 * pair as f64) / WIDTH as f64);
                let (a, b) = (head[pair], head[pair + WIDTH / 2]);
                turned[pair] = a * angle.cos() - b * angle.sin();
                turned[pair + WIDTH / 2] = b * angle.cos() + a * angle.sin();
            }
            turned
        };
        projected.chunks(WIDTH).map(turn).collect()
    }

    fn attention(&self, block: usize, x: &Rows) -> Rows {
        let at = format!("blocks.{block}.mixer.projection");
        let queries: Vec<Rows> = x.iter().enumerate().map(|(t, x)| self.heads(&at, "query", x, t)).collect();
        let keys: Vec<Rows> = x.iter().enumerate().map(|(t, x)| self.heads(&at, "key", x, t)).collect();
        let values: Rows = x.iter().map(|x| self.linear(&format!("{at}.value"), x)).collect();
        let row = |t: usize| {
            let first = if t < SEGMENT { 0 } else { (t / SEGMENT - 1) * SEGMENT };
            let mut joined = vec![0.0; DIM];
            for head in 0..HEADS {
                let dot = |s: usize| queries[t][head].iter().zip(&keys[s][head]).map(|(q, k)| q * k).sum::<f64>();
                let scores: Vec<f64> = (first..=t).map(|s| (dot(s) / (WIDTH as f64).sqrt()).exp()).collect();
                let total: f64 = scores.iter().sum();
                for (score, s) in scores.iter().zip(first..) {
                    for channel in head * WIDTH..(head + 1) * WIDTH {
                        joined[channel] += score / total * values[s][channel];
                    }
                }
            }
            self.linear(&format!("{at}.output"), &joined)
        };
        (0..x.len()).map(row).collect()
    }

    fn feed_forward(&self, block: usize, x: &[f64]) -> Vec<f64> {
        let at = format!("blocks.{block}.feed_forward");
        let gate = self.linear(&format!("{at}.gate"), x);
        let up = self.linear(&format!("{at}.up"), x);
        let hidden: Vec<f64> = gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
        self.linear(&format!("{at}.down"), &hidden)
    }

    /// -ln p of each target.
    fn nll(&self, inputs: &[u32], targets: &[u32]) -> Vec<f64> {
        let mut x: Rows = inputs.iter().map(|&token| self.row("embedding.weight", token as usize)).collect();
        for block in 0..DEPTH {
            let normed = x.iter().map(|x| self.norm(&format!("blocks.{block}.mixer_norm"), x)).collect();
            add(&mut x, self.attention(block, &normed));
            let norm = format!("blocks.{block}.feed_forward_norm");
            let fed = x.iter().map(|x| self.feed_forward(block, &self.norm(&norm, x))).collect();
            add(&mut x, fed);
        }
        let row = |(x, &target): (&Vec<f64>, &u32)| {
            let x = self.norm("norm", x);
            let logit = |token| self.row("head.weight", token).iter().zip(&x).map(|(w, x)| w * x).sum::<f64>();
            (0..VOCAB).map(|token| logit(token).exp()).sum::<f64>().ln() - logit(target as usize)
        };
        x.iter().zip(targets).map(row).collect()
    }
}

fn add(x: &mut Rows, more: Rows) {
    for (x, more) in x.iter_mut().zip(more) {
        x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
    }
}

fn score_of(protocol: Protocol) -> Score {
    let texts = MemoryTexts::new(Tokenizer::bytes(), vec![TEXT.into()]);
    let scorer = ModelScorer::new("tiny", model());
    score(&scorer, &texts, protocol, &Limits::default(), &mut |_| ()).unwrap()
}

fn assert_close(actual: f64, expected: f64) {
    assert!((actual / expected - 1.0).abs() < 2e-6, "{actual}, by hand {expected}");
}

#[test]
fn a_stream_has_the_score_calculated_by_hand() {
    let targets: Vec<u32> = TEXT.bytes().map(u32::from).collect();
    let inputs: Vec<u32> = std::iter::once(256).chain(targets.iter().copied()).take(targets.len()).collect();
    let nll: f64 = Weights::of(&model()).nll(&inputs, &targets).iter().sum();
    let score = score_of(Protocol::Stream);
    assert_eq!(score.targets, 35);
    assert_close(score.nll, nll);
    assert_close(score.token_perplexity, (nll / 35.0).exp());
    assert_close(score.word_perplexity.unwrap(), (nll / 10.0).exp());
    assert_close(score.bits_per_byte.unwrap(), nll / 35.0 / std::f64::consts::LN_2);
    // The model has opinions: a uniform one would score 8 bits.
    assert!((score.bits_per_byte.unwrap() - 8.0).abs() > 0.1);
}

#[test]
fn sliding_windows_have_the_score_calculated_by_hand() {
    let targets: Vec<u32> = TEXT.bytes().map(u32::from).collect();
    let inputs: Vec<u32> = std::iter::once(256).chain(targets.iter().copied()).collect();
    let weights = Weights::of(&model());
    // Windows of 12 that score their last 5, the first one all.
    let mut nll = weights.nll(&inputs[..12], &targets[..12]).iter().sum::<f64>();
    for end in [17, 22, 27, 32] {
        nll += weights.nll(&inputs[end - 12..end], &targets[end - 12..end])[7..].iter().sum::<f64>();
    }
    nll += weights.nll(&inputs[23..35], &targets[23..35])[9..].iter().sum::<f64>();
    let score = score_of(Protocol::SlidingWindow { window: 12, stride: 5 });
    assert_eq!(score.targets, 35);
    assert_close(score.nll, nll);
}

#[test]
fn protocols_suit_the_models() {
    let suited = |layers: &str| Protocol::suited_to(&ModelConfig { layers: layers.into(), ..config() }).unwrap();
    let window = Protocol::SlidingWindow { window: 12, stride: 6 };
    assert_eq!(suited("llp"), Protocol::Stream);
    assert_eq!((suited("transformer"), suited("llp, transformer")), (window, window));
    let config = ModelConfig { layers: "perceiver-ar".into(), ..config().with("latents", 4).unwrap() };
    assert_eq!(Protocol::suited_to(&config).unwrap(), Protocol::Stream);
}
