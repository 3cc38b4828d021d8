//! Beginning to train, from the first step or from a checkpoint, whatever the model.

use std::fs;
use std::path::{Path, absolute};
use std::sync::atomic::AtomicBool;

use percept_data::{Made, mark_folder};
use percept_fault::{IoContext, Result};
use percept_model::ops::Precision;
use percept_model::{Role, Trainable, parameters};

use super::observer::{Event, Observer, Outcome, Started};
use super::ranks::Ranks;
use super::state::State;
use super::task::{Extent, Task};
use super::trainer::Trainer;
use crate::config::TrainConfig;
use crate::machine::device::DeviceChoice;
use crate::machine::precision::PrecisionChoice;
use crate::run::checkpoint::{Broken, Checkpoint};
use crate::run::lock::Lock;
use crate::run::progress::Progress;
use crate::run::run_files::RunFiles;
use crate::run::run_folder::RunFolder;
use crate::run::same_model::check_config;

/// What goes on around a run.
pub struct Control<'a> {
    /// Once true, the run finishes its step, saves and ends as [`Outcome::Interrupted`].
    pub stop: &'a AtomicBool,
    /// Gets what happens, on rank 0.
    pub observer: &'a mut dyn Observer,
    /// Who trains the same model.
    pub ranks: &'a dyn Ranks,
}

/// A run before it begins.
pub(crate) struct Ready<T: Task> {
    /// Its source stands where the progress does.
    pub(crate) task: T,
    pub(crate) train: TrainConfig,
    pub(crate) folder: RunFolder,
    pub(crate) device_name: String,
    /// Held by the rank that writes.
    pub(crate) lock: Option<Lock>,
    pub(crate) state: State<T::Model>,
    /// None at the first step.
    pub(crate) progress: Option<Progress>,
}

/// Trains to the end, from step 0 where there is no progress.
pub(crate) fn begin<T: Task>(ready: Ready<T>, control: Control<'_>) -> Result<Outcome> {
    let Ready { mut task, train, folder, device_name, lock, state, progress } = ready;
    let mut progress = match progress {
        Some(progress) => progress,
        None => Progress::fresh(task.source().position()?),
    };
    progress.held_out = task.held_out();
    progress.precision = Some(train.precision);
    let mut files = None;
    if let Some(lock) = lock {
        let (opened, warnings) = RunFiles::open(folder.clone(), lock, &train, &progress)?;
        files = Some(opened);
        warnings.into_iter().for_each(|warning| control.observer.event(Event::Warning(warning)));
    }
    let Extent { train_inputs, train_documents, validation_documents, inputs_per_step } = task.extent();
    let started = Started {
        run: folder.path().to_owned(),
        parameters: trained_values(&state.model),
        device: device_name,
        precision: train.precision,
        step: progress.step,
        steps: progress.planned.unwrap_or(train.steps),
        train_tokens: train_inputs,
        train_documents,
        validation_documents,
        tokens_per_step: inputs_per_step,
    };
    let run = folder.path().to_owned();
    let mut trainer = Trainer { task, train, progress, last_validation: None, run, files, control };
    let outcome = trainer.run(started, state);
    if let (Err(fault), Some(files)) = (&outcome, &trainer.files)
        && fault.is_check()
    {
        files.mark_diverged(fault)?;
    }
    outcome
}

/// Number of trained values.
fn trained_values<M: Trainable>(model: &M) -> usize {
    let tensors = parameters::collect(model).into_iter();
    let trained = tensors.filter(|(path, tensor)| model.role(path, &tensor.shape) != Role::Buffer);
    trained.map(|(_, tensor)| tensor.shape.iter().product::<usize>()).sum()
}

/// Trains a model of any kind in `folder`: from the newest whole checkpoint there, bit for bit, or from the beginning.
///
/// All ranks call it with the same folder, each with its own share of the data in its task. [`crate::LanguageTask`] has an example.
///
/// # Errors
/// Usage: a wrong configuration, a checkpoint of another model or other data. Environment: an unwritable folder, one that another
/// process trains in, no device, no whole checkpoint, a rank that is gone. Check: loss or gradient are no longer finite.
pub fn train_task<T: Task>(
    mut task: T,
    model: &<T::Model as Trainable>::Config,
    train: &TrainConfig,
    folder: &Path,
    control: Control<'_>,
) -> Result<Outcome> {
    train.validate()?;
    let folder = RunFolder::new(absolute(folder).at("find", folder)?);
    let lock = if control.ranks.rank() == 0 { Some(claim(&folder)?) } else { None };
    // What a killed process left is swept up before another rank looks.
    control.ranks.barrier()?;
    let (newest, broken) = folder.newest_whole()?;
    let (device, device_name) = train.device.parse::<DeviceChoice>()?.open()?;
    let (state, progress) = match newest {
        None => (State::new(T::Model::fresh(model, train.seed, &device.clone().autodiff())?, train), None),
        Some(Checkpoint { path, progress }) => {
            let check = |path: &Path, found: &_| check_config(path, "model", (found, model), |_| false);
            let state = State::load(&path, check, train, &device)?;
            task.source().restore(&progress.position)?;
            (state, Some(progress))
        }
    };
    let begun_in = progress.as_ref().and_then(|progress| progress.precision);
    let precision = match begun_in {
        Some(precision) if train.precision == PrecisionChoice::Auto => precision,
        _ => agreed(train.precision, control.ranks, || train.precision_on(&device))?,
    };
    let train = TrainConfig { precision, ..train.clone() };
    if lock.is_some() {
        for warning in Broken::set_all_aside(&broken, progress.as_ref().map_or(0, |progress| progress.step))? {
            control.observer.event(Event::Warning(warning));
        }
    }
    begin(Ready { task, train, folder, device_name, lock, state, progress }, control)
}

/// The precision in place of `auto`: what rank 0 finds faster, since all ranks add up the same gradients.
fn agreed(
    choice: PrecisionChoice,
    ranks: &dyn Ranks,
    faster: impl FnOnce() -> Result<Precision>,
) -> Result<PrecisionChoice> {
    if choice != PrecisionChoice::Auto {
        return Ok(choice);
    }
    let rounds = ranks.rank() == 0 && faster()? == Precision::Bf16;
    let mut rounding = f64::from(u8::from(rounds));
    ranks.sum(std::slice::from_mut(&mut rounding))?;
    Ok(if rounding > 0.0 { PrecisionChoice::Bf16 } else { PrecisionChoice::F32 })
}

/// Marks and locks a folder, new or not.
fn claim(folder: &RunFolder) -> Result<Lock> {
    mark_folder(folder.path(), Made::Run)?;
    let lock = Lock::acquire(&folder.lock_path())?;
    fs::create_dir_all(folder.samples_path()).at("make", folder.samples_path())?;
    folder.checkpoints().prepare()?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use percept_model::parameters::Tensors;

    use super::*;

    /// One of two ranks, which hears this from the other.
    struct Rank(usize, f64);

    impl Ranks for Rank {
        fn rank(&self) -> usize {
            self.0
        }

        fn world(&self) -> usize {
            2
        }

        fn all_reduce(&self, tensors: Tensors) -> Result<Tensors> {
            Ok(tensors)
        }

        fn sum(&self, numbers: &mut [f64]) -> Result<()> {
            numbers.iter_mut().for_each(|number| *number += self.1);
            Ok(())
        }

        fn barrier(&self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_ranks_take_what_is_faster_on_the_first() {
        let (bf16, f32) = (|| Ok(Precision::Bf16), || Ok(Precision::F32));
        let auto = PrecisionChoice::Auto;
        assert_eq!(agreed(auto, &Rank(0, 0.0), bf16).unwrap(), PrecisionChoice::Bf16);
        assert_eq!(agreed(auto, &Rank(0, 0.0), f32).unwrap(), PrecisionChoice::F32);
        // The others do not even measure.
        let silent = || -> Result<Precision> { panic!("measured") };
        assert_eq!(agreed(auto, &Rank(1, 1.0), silent).unwrap(), PrecisionChoice::Bf16);
        assert_eq!(agreed(auto, &Rank(1, 0.0), silent).unwrap(), PrecisionChoice::F32);
        assert_eq!(agreed(PrecisionChoice::Bf16, &Rank(0, 0.0), silent).unwrap(), PrecisionChoice::Bf16);
    }
}
