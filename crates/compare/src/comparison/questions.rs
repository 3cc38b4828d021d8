//! What is asked.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most questions of a length.
const MOST: usize = 100_000;
/// Options of a problem that the suite itself gives.
const GIVEN: [&str; 5] = ["length", "shortest", "mode", "documents", "seed"];

/// What a suite asks, and how much of it: the table `[suite]` of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Questions {
    /// Problems by name (`parity`), with options if there are any (`bucket-sort?symbols=3`).
    pub tasks: Vec<String>,
    /// The longest question of training, in which lengths are drawn evenly from 1 on.
    pub length: u64,
    /// The longest question of the examination; by default twice as long.
    pub beyond: Option<u64>,
    /// Questions of each length.
    pub exercises: usize,
}

impl Default for Questions {
    fn default() -> Self {
        Self { tasks: Vec::new(), length: 20, beyond: None, exercises: 64 }
    }
}

impl Questions {
    /// The longest question of the examination.
    pub fn longest(&self) -> u64 {
        self.beyond.unwrap_or(self.length.saturating_mul(2))
    }

    /// Checks what can be checked without the problems.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.tasks.is_empty() {
            return Err(Fault::usage("no problems to examine").hint("for example --tasks parity,cycle-navigation"));
        }
        if let Some(task) =
            (1..).zip(&self.tasks).find_map(|(at, task)| self.tasks[at..].contains(task).then_some(task))
        {
            return Err(Fault::usage(format!("`{task}` is named twice")).hint("name each problem once"));
        }
        for task in &self.tasks {
            let options = task.split_once('?').map_or("", |(_, options)| options);
            let mut keys = options.split('&').map(|option| option.split('=').next().unwrap_or_default());
            if let Some(key) = keys.find(|key| GIVEN.contains(key)) {
                return Err(Fault::usage(format!("`{task}`: the suite itself says what `{key}` is"))
                    .hint("leave it out; --length and --beyond hold for all problems"));
            }
        }
        if self.longest() <= self.length || !(1..=MOST).contains(&self.exercises) {
            return Err(Fault::usage(format!(
                "nothing can be asked beyond training: questions of {} to {}, {} of each length",
                self.length,
                self.longest(),
                self.exercises
            ))
            .hint(format!("--beyond must be above --length, and --exercises from 1 to {MOST}")));
        }
        Ok(())
    }
}
