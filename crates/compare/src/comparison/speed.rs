//! The seconds of a comparison: all models timed side by side, after all training.
//!
//! Runs that go on over days, on a machine that does other things too, have wall times that can't be compared. So their steps
//! are what counts, and the seconds of a step are measured for all models under the same circumstances.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use percept_data::DataConfig;
use percept_fault::{Fault, Result};
use percept_model::LanguageModel;
use percept_model::config::Objective;
use percept_train::{
    Alone, DeviceChoice, Lessons, NextToken, OrderAgnosticSource, RunConfig, State, TextSource, next_batches,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Event;
use super::lineup::Lineup;
use super::result::{Axis, FailureKind, StepTime, Timing};
use super::task::{read_json, write_json};

/// The timing, in the folder of a comparison.
const SPEED: &str = "speed.json";
/// Times that every model has its turn.
const ROUNDS: usize = 5;
/// Steps of a turn before the first on the clock.
const WARM_UP: usize = 2;
/// Steps of a turn on the clock.
const STEPS: usize = 3;

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    /// Hash of what the times depend on: configurations and machine.
    fingerprint: String,
    #[serde(flatten)]
    timing: Timing,
}

impl Lineup {
    /// The models whose steps are timed: all that did not diverge; none where time itself is the
    /// budget, as then the time that passed is what counts.
    pub(super) fn timed(&self) -> Result<Vec<usize>> {
        if self.budget.kind == Axis::Seconds {
            return Ok(Vec::new());
        }
        let finalists = self.finalists()?;
        let mut timed = Vec::new();
        for index in 0..self.contenders.len() {
            let failure = self.failure(index, &finalists)?;
            if failure.is_none_or(|failure| failure.kind != FailureKind::Diverged) {
                timed.push(index);
            }
        }
        Ok(timed)
    }

    /// The timing that the folder holds of these models on this machine.
    pub(super) fn timing(&self) -> Result<Option<Timing>> {
        if self.budget.kind == Axis::Seconds {
            return Ok(None);
        }
        let measured: Option<Measured> = read_json(&self.folder.join(SPEED))?;
        let wanted = self.speed_fingerprint()?;
        Ok(measured.filter(|measured| measured.fingerprint == wanted).map(|measured| measured.timing))
    }

    /// Times all models and writes the result; `None` where it was asked to stop: then nothing is kept.
    ///
    /// # Errors
    /// As training.
    pub(super) fn time(&self, stop: &AtomicBool, observer: &mut dyn FnMut(Event)) -> Result<Option<Timing>> {
        let turns = self.turns()?;
        let total = (ROUNDS * turns.len() * (WARM_UP + STEPS)) as u64;
        let mut done = 0;
        let mut times: Vec<Vec<Vec<f64>>> = vec![Vec::new(); turns.len()];
        for _ in 0..ROUNDS {
            for ((label, config), rounds) in turns.iter().zip(&mut times) {
                let mut step_done = || {
                    done += 1;
                    observer(Event::Timing { label: label.clone(), done, total });
                };
                match self.turn(config, stop, &mut step_done)? {
                    Some(seconds) => rounds.push(seconds),
                    None => return Ok(None),
                }
            }
        }
        let models = turns.into_iter().zip(&times).map(|((model, _), rounds)| summary(model, rounds)).collect();
        let timing = Timing { rounds: ROUNDS, steps: ROUNDS * STEPS, models };
        let measured = Measured { fingerprint: self.speed_fingerprint()?, timing };
        write_json(&self.folder.join(SPEED), &measured)?;
        Ok(Some(measured.timing))
    }

    /// Name and configuration of the models' first full runs, whose steps are timed.
    fn turns(&self) -> Result<Vec<(String, RunConfig)>> {
        let turn = |index: usize| {
            let task = self.full_task(index, self.spec.seeds[0])?;
            let task = task.ok_or_else(|| Fault::internal("a model is timed before its learning rate is known"))?;
            Ok((self.contenders[index].name.clone(), task.config))
        };
        self.timed()?.into_iter().map(turn).collect()
    }

    /// The seconds of the first steps of a run but those that warm up; `None` where it was asked to stop.
    fn turn(&self, config: &RunConfig, stop: &AtomicBool, step_done: &mut dyn FnMut()) -> Result<Option<Vec<f64>>> {
        match config.model.objective {
            Objective::NextToken => self.turn_by::<TextSource<NextToken>>(config, stop, step_done),
            Objective::OrderAgnostic => self.turn_by::<OrderAgnosticSource>(config, stop, step_done),
        }
    }

    fn turn_by<L: Lessons>(
        &self,
        config: &RunConfig,
        stop: &AtomicBool,
        step_done: &mut dyn FnMut(),
    ) -> Result<Option<Vec<f64>>> {
        let train = &config.train;
        let (device, _) = train.device.parse::<DeviceChoice>()?.open()?;
        let model = LanguageModel::new(&config.model, train.seed, &device.autodiff())?;
        let (mut state, mut windows) = (State::new(L::Model::from(model), train), L::open(&self.dataset, config)?);
        let mut seconds = Vec::with_capacity(STEPS);
        for step in 1..=WARM_UP + STEPS {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let begin = Instant::now();
            let batches = next_batches(&mut windows, train)?;
            // The time of a step does not depend on its learning rate; at 0 no model can diverge here.
            (state, _) = state.step(&batches, train, 0.0, step as u64, &Alone)?;
            if step > WARM_UP {
                seconds.push(begin.elapsed().as_secs_f64());
            }
            step_done();
        }
        Ok(Some(seconds))
    }

    /// Hash of everything that the times depend on: how it is measured, the models and the machine.
    fn speed_fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("speed 1 {ROUNDS} {WARM_UP} {STEPS}\n{:?}\n", self.environment));
        for contender in self.timed()?.into_iter().map(|index| &self.contenders[index]) {
            let config = RunConfig { data: DataConfig::default(), ..contender.config.clone() };
            hash.update(format!("{}\n{}\n", contender.name, config.to_toml()?));
        }
        Ok(percept_files::hex(&hash.finalize()))
    }
}

/// The median over all steps, and the range of the rounds' medians.
fn summary(model: String, rounds: &[Vec<f64>]) -> StepTime {
    let medians = || rounds.iter().map(|round| median(round.clone()));
    StepTime {
        model,
        seconds: median(rounds.concat()),
        min: medians().fold(f64::INFINITY, f64::min),
        max: medians().fold(0.0, f64::max),
    }
}

/// The middle one of an odd number of values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_the_median_of_all_and_its_range_that_of_the_rounds() {
        let rounds = [vec![1.0, 9.0, 2.0], vec![3.0, 3.0, 3.5], vec![5.0, 4.0, 0.5]];
        let step = summary("llp".into(), &rounds);
        assert_eq!((step.seconds, step.min, step.max), (3.0, 2.0, 4.0));
    }
}
