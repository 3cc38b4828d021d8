//! A suite in parts: the runs of its comparisons, each with its examination, as pieces of work for processes of their own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use percept_data::{Made, mark_folder};
use percept_fault::Result;

use super::plan::{Entry, Suite};
use super::run::{SuiteEvent, check_no_run};
use crate::comparison::{check_number, check_over};
use crate::{Lineup, Part, PartState, Purpose, Stage};

/// A part of a suite, ready to run.
#[derive(Debug)]
pub struct SuitePart<'a> {
    suite: &'a Suite,
    folder: PathBuf,
    at: usize,
    lineup: Lineup,
    /// As its comparison knows it.
    own: Part,
    part: Part,
}

impl Suite {
    /// How many parts a stage has: those of its first comparison, of the second, and so on.
    pub fn tasks(&self, stage: Stage) -> usize {
        self.entries.len() * stage.parts(&self.spec)
    }

    /// All parts, those of each stage after those of the stage before.
    ///
    /// # Errors
    /// As [`Lineup::new`]. Environment: a file of the folder cannot be read.
    pub fn parts(&self, folder: &Path) -> Result<Vec<Part>> {
        let lineups: Vec<Lineup> =
            self.entries.iter().map(|entry| self.shared(entry, folder)).collect::<Result<_>>()?;
        let mut parts = Vec::new();
        for stage in Stage::ALL {
            for (at, lineup) in lineups.iter().enumerate() {
                for number in 0..stage.parts(&self.spec) {
                    parts.push(self.named(at, &lineup.part(stage, number)?)?);
                }
            }
        }
        Ok(parts)
    }

    /// The part of this place in a stage; `folder` is that of the suite.
    ///
    /// # Errors
    /// Usage: there is none. Else as [`Suite::parts`].
    pub fn part(&self, folder: &Path, stage: Stage, number: usize) -> Result<SuitePart<'_>> {
        check_number(stage, number, self.tasks(stage))?;
        let of_each = stage.parts(&self.spec);
        let at = number / of_each;
        let lineup = self.shared(&self.entries[at], folder)?;
        let own = lineup.part(stage, number % of_each)?;
        Ok(SuitePart { suite: self, folder: folder.to_owned(), at, lineup, part: self.named(at, &own)?, own })
    }

    /// Checks that every run has ended and is examined.
    ///
    /// # Errors
    /// Environment: some are not; the message names the first of them. Else as [`Suite::parts`].
    pub fn check_finished(&self, folder: &Path) -> Result<()> {
        check_over(&self.parts(folder)?)
    }

    fn shared(&self, entry: &Entry, folder: &Path) -> Result<Lineup> {
        check_no_run(folder)?;
        Lineup::new(entry.spec(&self.spec), &folder.join(entry.folder()), Purpose::Shared, &mut |_| {})
    }

    /// A part of a comparison as one of the suite: it is not over before its run is examined.
    fn named(&self, at: usize, own: &Part) -> Result<Part> {
        let entry = &self.entries[at];
        let mut part = own.clone();
        part.number += at * own.stage.parts(&self.spec);
        part.label = format!("{} {}", entry.label(), own.label);
        if let Some((run, fingerprint)) = to_examine(own)
            && self.kept(entry, run, fingerprint)?.is_none()
        {
            part.state = PartState::Begun;
        }
        Ok(part)
    }
}

/// The run that is to be examined, with its fingerprint; none where it is not finished, failed, or only searched a learning rate.
fn to_examine(part: &Part) -> Option<(&Path, &str)> {
    let is_trained = part.state == PartState::Finished && part.failure.is_none();
    part.run().filter(|_| is_trained && part.stage != Stage::Sweep)
}

impl SuitePart<'_> {
    /// The part as it stands.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Trains and examines it, from wherever its run stands, and gives it as it is afterwards: [`PartState::Begun`] where it was asked to stop, and
    /// saved.
    ///
    /// # Errors
    /// As [`Lineup::run_part`], and as the examination.
    pub fn run(&self, stop: &AtomicBool, observer: &mut dyn FnMut(SuiteEvent)) -> Result<Part> {
        if self.part.state.is_over() {
            return Ok(self.part.clone());
        }
        mark_folder(&self.folder, Made::Comparison)?;
        let own = self.lineup.run_part(&self.own, stop, &mut |event| observer(SuiteEvent::Comparison(event)))?;
        if let Some((run, fingerprint)) = to_examine(&own)
            && !stop.load(Ordering::Relaxed)
        {
            observer(SuiteEvent::Exam { label: self.part.label.clone() });
            self.suite.kept_or_examined(&self.suite.entries[self.at], run, fingerprint)?;
        }
        self.suite.named(self.at, &own)
    }
}
