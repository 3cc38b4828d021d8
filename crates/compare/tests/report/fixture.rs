//! A comparison as it might come out, made up by formulas: eight models, three seeds for the two best, one run unfinished or
//! diverged where a test asks for it.

use percept_compare::report::Report;
use percept_compare::*;
use percept_score::suites::{
    Accuracy, Context, ContextPoint, Copying, Findings, MeanLoss, Needle, NeedleCell, Position, PositionBucket, Recall,
    SuiteResult, TaskCell, TaskTable,
};

/// Name, schedule, final bits per byte, operations per token, tokens per second, targets per window, usable context,
/// state at 1M in MiB.
type Recipe = (&'static str, &'static str, f64, f64, f64, usize, usize, f64);

const RECIPES: [Recipe; 8] = [
    ("hybrid 5:1", "llp*5, transformer", 2.188, 7.1e6, 5210.0, 1024, 1024, 97.0),
    ("llp", "llp", 2.203, 6.6e6, 6120.0, 1024, 383, 1.41),
    ("transformer", "transformer", 2.231, 8.4e6, 4350.0, 1024, 1024, 570.0),
    ("longlora-s2", "longlora", 2.312, 6.9e6, 5580.0, 1024, 512, 570.0),
    ("v1", "v1", 2.455, 7.6e6, 4800.0, 512, 1024, 3.2),
    ("perceiver-ar", "perceiver-ar*1, transformer", 2.508, 5.2e6, 7940.0, 512, 1024, 3.1),
    ("v2", "v2", 2.641, 7.3e6, 4610.0, 512, 1024, 2.8),
    ("v3 (compressed history)", "v3", 2.954, 5.9e6, 5150.0, 512, 1024, 2.2),
];

/// Tokens of a run.
const BUDGET: f64 = 6.3e6;
const POINTS: u64 = 42;

/// The whole report: every section has data.
pub(crate) fn full() -> Report {
    Report {
        comparison: comparison(),
        suites: RECIPES.iter().enumerate().flat_map(|(i, recipe)| suites(i, recipe)).collect(),
    }
}

fn environment() -> EnvironmentInfo {
    EnvironmentInfo {
        version: "0.1.0".into(),
        commit: Some("017ea8b".into()),
        system: "linux x86_64".into(),
        cpu: Some("AMD EPYC 9R14".into()),
        threads: 2,
        device: "cpu".into(),
        precision: "f32".into(),
    }
}

fn baselines() -> Vec<Baseline> {
    vec![
        Baseline {
            name: "order-2 bytes".into(),
            order: 2,
            validation_bits_per_byte: Some(2.871),
            test_bits_per_byte: Some(2.905),
        },
        Baseline {
            name: "order-5 bytes".into(),
            order: 5,
            validation_bits_per_byte: Some(1.978),
            test_bits_per_byte: Some(1.990),
        },
    ]
}

pub(crate) fn comparison() -> Comparison {
    let models: Vec<ModelResult> = RECIPES.iter().enumerate().map(|(index, recipe)| model(index, recipe)).collect();
    let reading = |axis, at: f64, better: [usize; 8]| Reading {
        axis,
        at,
        values: better
            .iter()
            .enumerate()
            .map(|(rank, &index)| ReadingValue { model: RECIPES[index].0.into(), value: 2.231 + 0.055 * rank as f64 })
            .collect(),
    };
    let split = |name: &str, documents, bytes: u64| SplitInfo {
        name: name.into(),
        documents,
        bytes,
        words: bytes / 6,
        tokens: bytes,
        hash: format!("{:016x}", bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    };
    Comparison {
        format: FORMAT,
        name: "Which long-context model for novels? n = 1024, 3 M parameters".into(),
        state: State::Finished,
        corpus: CorpusInfo {
            name: "books".into(),
            bytes: 21_800_000,
            splits: vec![split("train", 18, 20_100_000), split("validation", 2, 936_300), split("test", 2, 763_700)],
        },
        protocol: ProtocolInfo {
            text: "sliding window w = 1024, t = 512".into(),
            window: 1024,
            stride: 512,
            guaranteed_context: 512,
            test_limit: None,
            validation_targets: 131_072,
        },
        budget: Budget { kind: Axis::Tokens, amount: BUDGET },
        fairness: fairness(),
        environment: environment(),
        timing: Some(timing()),
        baselines: baselines(),
        models,
        readings: vec![
            reading(Axis::Tokens, 5.02e6, [0, 1, 2, 3, 4, 5, 6, 7]),
            reading(Axis::Targets, 2.5e6, [5, 4, 0, 1, 2, 6, 3, 7]),
            reading(Axis::Flops, 7.7e13, [1, 0, 3, 2, 5, 4, 6, 7]),
            reading(Axis::Seconds, 632.0, [1, 0, 3, 5, 2, 4, 6, 7]),
        ],
        prompt: "It was ".into(),
    }
}

/// Steps as long as the speeds say, 4 % more or less in some rounds.
fn timing() -> Timing {
    let step = |&(name, _, _, _, speed, ..): &Recipe| {
        let seconds = 4096.0 / speed;
        StepTime { model: name.into(), seconds, min: 0.96 * seconds, max: 1.04 * seconds }
    };
    Timing { rounds: 3, steps: 15, models: RECIPES.iter().map(step).collect() }
}

fn fairness() -> Fairness {
    Fairness {
        tokenizer: "bytes, 256 + 1 document token".into(),
        tokenizer_hash: "5f70bf18a086007016e948b04aed3b82".into(),
        seeds: vec![1, 2, 3],
        context: 1024,
        tokens_per_step: 4096,
        data_order: [(1, 1538), (2, 1538), (3, 1538)]
            .map(|(seed, step)| DataOrder {
                seed,
                step,
                hash: format!("{:032x}", seed * 0x1234_5678_9abc),
                equal: true,
            })
            .to_vec(),
        parameters: Matching::Matched { target: 3_300_000, tolerance: 0.02 },
        learning_rate: LearningRate::Sweep { factors: vec![0.5, 1.0, 2.0], fraction: 0.1 },
        schedule: "warm-up 50 steps, stable, linear decay over the last 20 %".into(),
        selection: "the lowest validation loss; the test text was scored once, after everything else".into(),
    }
}

fn model(index: usize, recipe: &Recipe) -> ModelResult {
    let &(name, layers, bits, flops, speed, targets, usable, state) = recipe;
    let seeds: &[u64] = if index < 2 { &[1, 2, 3] } else { &[1] };
    let runs: Vec<RunResult> = seeds.iter().map(|&seed| run(index, seed, recipe)).collect();
    let test: Vec<f64> = runs.iter().filter_map(|run| run.test.as_ref()).map(|test| test.value()).collect();
    let validation: Vec<f64> = runs.iter().filter_map(|run| run.best?.bits_per_byte).collect();
    let seconds = BUDGET / speed;
    ModelResult {
        name: name.into(),
        layers: layers.into(),
        rank: Some(if index < 2 { 1 } else { index + 1 }),
        ties: match index {
            0 => vec![RECIPES[1].0.into()],
            1 => vec![RECIPES[0].0.into()],
            _ => Vec::new(),
        },
        under_trained: Some(bits > 2.905),
        cost: Cost {
            parameters: 3_300_000 + 7_000 * index as u64,
            feed_forward_dim: 704 + 32 * index,
            flops_per_token: flops,
            training_flops_per_token: 3.0 * flops,
            score_entries: 4_000_000,
            targets_per_window: targets,
            reach: Some(usable * 3),
            usable_context: usable,
            state_bytes: 1_480_000 + 300_000 * index as u64,
            state_bytes_1m: (state * 1_048_576.0) as u64,
            peak_memory_bytes: 240_000_000 + 31_000_000 * ((index * 3) % 7) as u64,
        },
        usage: Some(Usage {
            steps: 1538,
            tokens: BUDGET as u64,
            targets: (BUDGET * targets as f64 / 1024.0) as u64,
            flops: 3.0 * flops * BUDGET,
            seconds,
            tokens_per_second: speed,
            targets_per_second: speed * targets as f64 / 1024.0,
            measured_peak_memory_bytes: (index != 4).then_some(260_000_000 + 29_000_000 * ((index * 3) % 7) as u64),
        }),
        test: Spread::of(&test),
        validation: Spread::of(&validation),
        failure: None,
        runs,
        sample: Some(SAMPLES[index].into()),
        config: format!("[model]\nlayers = \"{layers}\"\ndim = 256\nheads = 4\ndepth = 4\ncontext = 1024\n"),
    }
}

fn run(index: usize, seed: u64, recipe: &Recipe) -> RunResult {
    let &(name, _, bits, flops, speed, targets, ..) = recipe;
    let shift = 0.012 * (seed as f64 - 2.0) * if index < 2 { 1.0 } else { 0.0 };
    let curve: Vec<CurvePoint> = (1..=POINTS)
        .map(|point| {
            let tokens = BUDGET * point as f64 / POINTS as f64;
            let share = tokens / BUDGET;
            let slow = 1.0 + 0.25 * index as f64;
            let wiggle = 0.012 * ((point * 7 + index as u64 * 5 + seed) as f64).sin();
            let decayed = if share > 0.8 { 0.07 * (share - 0.8) / 0.2 } else { 0.0 };
            let value = bits
                + 0.09
                + shift
                + 1.1 * (-share * 14.0 / slow).exp()
                + 2.9 * (-share * 90.0).exp()
                + 0.16 * (1.0 - share)
                + wiggle * (1.0 - share)
                - decayed;
            CurvePoint {
                step: point * 36,
                tokens: tokens as u64,
                targets: (tokens * targets as f64 / 1024.0) as u64,
                flops: 3.0 * flops * tokens,
                seconds: tokens / speed,
                train_loss: value * 0.69,
                validation_loss: value * std::f64::consts::LN_2,
                bits_per_byte: Some(value),
                phase: if share > 0.8 { Phase::Decay } else { Phase::Stable },
            }
        })
        .collect();
    let last = curve[curve.len() - 1].value();
    RunResult {
        folder: format!("runs/{}-{seed}", name.split([' ', '(']).next().unwrap_or_default()).into(),
        fingerprint: format!("{:016x}", (index as u64 * 31 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        seed,
        learning_rate: 2e-3,
        sweep: if seed == 1 { sweep(bits) } else { Vec::new() },
        steps: 1538,
        best: Some(BestPoint { step: 1538, loss: last * std::f64::consts::LN_2, bits_per_byte: Some(last) }),
        test: Some(TestResult {
            protocol: "sliding window w = 1024, t = 512".into(),
            step: 1538,
            nll: (bits + shift) * 763_700.0 * std::f64::consts::LN_2,
            targets: 763_700,
            token_perplexity: ((bits + shift) * std::f64::consts::LN_2).exp(),
            word_perplexity: Some(((bits + shift) * 4.1).exp()),
            bits_per_byte: Some(bits + shift),
            bits_per_character: None,
        }),
        failure: None,
        curve,
    }
}

fn sweep(bits: f64) -> Vec<SweepPoint> {
    let point = |learning_rate, value: Option<f64>| SweepPoint {
        learning_rate,
        loss: value.map(|value| value * 0.693),
        bits_per_byte: value,
        tokens: 630_000,
        seconds: 120.0,
    };
    vec![point(1e-3, Some(bits + 0.71)), point(2e-3, Some(bits + 0.62)), point(4e-3, None)]
}

fn suites(index: usize, recipe: &Recipe) -> Vec<SuiteResult> {
    let &(name, _, bits, _, _, _, usable, _) = recipe;
    let result = |protocol: &str, findings| SuiteResult {
        model: name.into(),
        protocol: protocol.into(),
        seed: 1,
        seconds: 20.0,
        findings,
    };
    vec![
        result("sliding window w = 1024, t = 512", Findings::Position(position(bits, usable))),
        result("256 targets in fresh windows of exactly the context", Findings::Context(context(bits, usable))),
        result(
            "32 documents for each number of pairs and gap",
            Findings::Recall(Recall { chance: 0.1, table: table(index, usable, &[4, 8, 16, 32]) }),
        ),
        result(
            "32 documents for each length",
            Findings::Copy(Copying {
                chance: 1.0 / 16.0,
                copy: table(index, usable, &[8, 16, 32, 64]),
                reverse: table(index + 1, usable / 2, &[8, 16, 32, 64]),
            }),
        ),
        result("16 needles for each depth and length", Findings::Needle(needle(usable))),
    ]
}

fn mean_loss(bits: f64, targets: u64) -> MeanLoss {
    let nll = bits * std::f64::consts::LN_2;
    let standard_error = (targets > 1).then(|| 1.6 / (targets as f64).sqrt());
    MeanLoss { targets, nll, standard_error, low: None, high: None, units: None, bits_per_byte: Some(bits) }
}

/// The loss given so many tokens.
fn given(bits: f64, usable: usize, context: f64) -> f64 {
    bits + 2.6 * (-(1.0 + context.min(usable as f64)).ln() * (0.24 + 0.02 * bits)).exp() - 0.45
}

fn position(bits: f64, usable: usize) -> Position {
    let bucket = |from: u64, to: u64, targets| PositionBucket {
        from,
        to,
        loss: mean_loss(given(bits, usable, (from + to) as f64 / 2.0), targets),
    };
    let mut logarithmic = vec![bucket(0, 1, 2)];
    logarithmic.extend((0..17).map(|k| bucket(1 << k, 2 << k, 2 << k)));
    let linear = (0..16).map(|k| bucket(k * 24_576, (k + 1) * 24_576, 49_152)).collect();
    Position { logarithmic, linear }
}

fn context(bits: f64, usable: usize) -> Context {
    let points = [0u64, 64, 128, 256, 512, 1024].map(|context| {
        let loss = mean_loss(given(bits, usable, context as f64), 256);
        let gain = given(bits, usable, 0.0) - given(bits, usable, context as f64);
        ContextPoint {
            context,
            loss,
            gain: gain * std::f64::consts::LN_2,
            gain_standard_error: Some(0.02),
            gain_low: None,
            gain_high: None,
            gain_bits_per_byte: Some(gain),
            gain_bits_per_byte_standard_error: Some(0.03),
        }
    });
    Context { points: points.to_vec() }
}

fn accuracy(share: f64, trials: u64) -> Accuracy {
    let correct = (share.clamp(0.0, 1.0) * trials as f64).round();
    let accuracy = correct / trials as f64;
    Accuracy {
        trials,
        correct,
        accuracy,
        low: (accuracy - 0.08).max(0.0),
        high: (accuracy + 0.08).min(1.0),
        units: None,
    }
}

fn table(index: usize, usable: usize, sizes: &[u64]) -> TaskTable {
    let cell = |size: u64, from: u64| {
        let lost = if from as usize >= usable { 0.85 } else { 0.0 };
        let share = 0.97 - 0.04 * index as f64 - 0.003 * size as f64 - lost;
        TaskCell {
            size,
            distance_from: from,
            distance_to: 2 * from,
            accuracy: accuracy(share.max(0.1), 320),
            nll: 3.0 * (1.0 - share),
        }
    };
    let distances = [4u64, 8, 16, 32, 64, 128, 256, 512];
    let possible = |size: u64, from: u64| from * 2 > size / 2 && (size < 32 || from >= 16);
    let cells = sizes.iter().flat_map(|&size| {
        distances.iter().filter(move |&&from| possible(size, from)).map(move |&from| cell(size, from))
    });
    TaskTable {
        cells: cells.collect(),
        by_size: sizes.iter().map(|&size| cell(size, 32)).collect(),
        by_distance: distances.iter().map(|&from| TaskCell { size: 0, ..cell(16, from) }).collect(),
    }
}

fn needle(usable: usize) -> Needle {
    let mut cells = Vec::new();
    for length in [128u64, 256, 512, 1024] {
        for depth in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let distance = length as f64 * (1.0 - depth);
            let share = if distance > usable as f64 { 0.1 } else { 0.95 - distance / 2500.0 };
            cells.push(NeedleCell { length, depth, accuracy: accuracy(share, 16) });
        }
    }
    Needle { chance: 0.1, candidates: 10, haystack: "text".into(), total: accuracy(0.74, 320), cells }
}

const SAMPLES: [&str; 8] = [
    "to the one a subject, where in the seat of before him to man other lead and which they eyel. He thought of must in the did rather in or to be a to young the halpes.\n\n\"Can't his seemed a being of the old see me,\" and the moun of them enterest only as a doubon.",
    "not the same of the down of the sover to make, and the sort on the rame; he was a grance, and to that the prince had been a good deal of the world in the house of the country, and the old man was in the window.",
    "the first time in the street, and the captain said that he would not be the man who had been so much in the way of a thing as the one which he was to be made to the door.",
    "a long and a strange to the house, and the boy had no more the wind than a man's, and so on the wat of the sea was the sound of it in the hall.",
    "so the thing and the wather of the sere, and the ment that the wore in the still of the loon, and he had the say that was not the than.",
    "the mand of the seare to the with the ther, and the hand on the conter of the sout.",
    "ther and ound the wathing of the sele an the hom, and the whith he toor was and the sele of the ond.",
    "e the ande t hon ,are t sith ond  the wer ana t e <b>oth</b> & ere.",
];
