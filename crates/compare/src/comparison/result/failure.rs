//! Why a run or a model has no result.

use serde::{Deserialize, Serialize};

/// Why a run or a model has no result. Such a model has no place and ties with nobody; the others are compared without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// The step of training at which it happened, where there is one.
    pub step: Option<u64>,
    /// What the program said.
    pub message: String,
}

/// What happened to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Loss or gradient were no longer finite in training.
    Diverged,
    /// It was trained, but gives no probabilities for the test text.
    Unscored,
}

impl Failure {
    /// `diverged at step 12`.
    pub fn in_words(&self) -> String {
        match (self.kind, self.step) {
            (FailureKind::Diverged, Some(step)) => format!("diverged at step {step}"),
            (FailureKind::Diverged, None) => "diverged".to_owned(),
            (FailureKind::Unscored, _) => "could not be scored".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_step() {
        let failure = |kind, step| Failure { kind, step, message: String::new() }.in_words();
        assert_eq!(failure(FailureKind::Diverged, Some(3)), "diverged at step 3");
        assert_eq!(failure(FailureKind::Diverged, None), "diverged");
        assert_eq!(failure(FailureKind::Unscored, Some(3)), "could not be scored");
        assert_eq!(serde_json::to_value(FailureKind::Diverged).unwrap(), "diverged");
    }
}
