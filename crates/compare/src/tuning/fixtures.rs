//! Small results for tests.

use percept_tune::{Axis, Halving, Method, Space};

use super::result::{AxisInfo, Status, TrialResult, TuneReport, json};
use super::spec::{Metric, Strategy};
use crate::{Budget, CorpusInfo, EnvironmentInfo, State};

/// Two keys of three values each.
pub(super) fn space() -> Space {
    let axis = |key: &str, values: [toml::Value; 3]| Axis::new(key, values.to_vec()).unwrap();
    Space::new(vec![
        axis("model.layers", ["llp", "tost", "<b>"].map(Into::into)),
        axis("train.learning_rate", [0.001, 0.01, 0.1].map(Into::into)),
    ])
    .unwrap()
}

/// A trial of the point of its number, with 10 operations; without a metric it diverged.
pub(super) fn trial(number: u64, rung: u32, metric: Option<f64>) -> TrialResult {
    let (space, fraction) = (space(), if rung == 0 { 0.5 } else { 1.0 });
    let point = space.point(number as usize);
    let values = space.values(&point).map(|(key, value)| (key.to_owned(), json(value))).collect();
    let status = if metric.is_some() { Status::Finished } else { Status::Diverged };
    TrialResult {
        number,
        rung,
        fraction,
        point,
        values,
        seed: 1,
        folder: Some(format!("runs/point-{number}").into()),
        status,
        metric,
        message: metric.is_none().then(|| "training diverged".to_owned()),
        parameters: Some(1000),
        steps: 7,
        flops: 10.0,
        seconds: 1.0,
    }
}

/// A search of these trials, whose start has a metric of 2.5.
pub(super) fn report(trials: Vec<TrialResult>) -> TuneReport {
    TuneReport {
        format: 1,
        name: "small".into(),
        state: State::Finished,
        preset: "llp-tiny".into(),
        metric: Metric::BitsPerByte,
        budget: "1M tokens".parse::<Budget>().unwrap(),
        strategy: Strategy::Search(Method::Random),
        halving: Halving { rungs: 2, factor: 2 },
        seed: 1,
        seeds: vec![1],
        parameters: None,
        planned: trials.len() as u64,
        space: AxisInfo::all(&space()),
        corpus: CorpusInfo { name: "text".into(), bytes: 1, splits: Vec::new() },
        environment: EnvironmentInfo {
            version: "1".into(),
            commit: None,
            system: "linux".into(),
            cpu: None,
            threads: 1,
            device: "cpu".into(),
            precision: "f32".into(),
        },
        start: Some(TrialResult { values: Default::default(), point: Vec::new(), ..trial(0, 1, Some(2.5)) }),
        trials,
        best: None,
        effects: None,
    }
}
