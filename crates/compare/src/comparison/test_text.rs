//! The score of a run on the test text, in its folder.

use percept_fault::Result;
use percept_score::Limits;

use super::lineup::Lineup;
use super::result::TestResult;
use super::task::{Task, read_json};

/// The score's file.
pub(super) const TEST: &str = "test.json";

/// The score of a run on the test text, if there is one under the protocol of this comparison.
pub(super) fn test_result(lineup: &Lineup, task: &Task) -> Result<Option<TestResult>> {
    let result: Option<TestResult> = read_json(&task.folder.join(TEST))?;
    let protocol = format!("{}{}", lineup.protocol(), limits(lineup));
    Ok(result.filter(|result| result.protocol == protocol))
}

/// Which part of the test text is scored.
pub(super) fn limits(lineup: &Lineup) -> Limits {
    Limits { tokens: lineup.spec.test_limit, ..Limits::default() }
}
