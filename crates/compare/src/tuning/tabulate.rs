//! The table of a grid: what searches can be repeated in at no cost.

use std::path::{Path, PathBuf};

use percept_fault::Result;
use percept_tune::{Halving, Space, Stage, Table};

/// The table's name in the folder of a grid.
pub const TABLE: &str = "table.csv.zst";
/// The file of the space that it is of.
pub const SPACE: &str = "space.toml";

/// Writes the table of a grid and its space; gives their paths. `stages`: of each run, the seeds of a configuration one after the other.
///
/// # Errors
/// Usage: no run finished. Environment: a file cannot be written.
pub(super) fn write_table(
    folder: &Path,
    space: &Space,
    seeds: usize,
    halving: Halving,
    stages: &[Vec<Stage>],
) -> Result<[PathBuf; 2]> {
    let fractions: Vec<f64> = (0..halving.rungs).map(|rung| halving.fraction(rung)).collect();
    let table = Table::tabulate(space.clone(), seeds, &fractions, |point, seed, fraction| {
        let run = &stages[space.index(point) * seeds + seed];
        run[fractions.iter().position(|other| *other == fraction).unwrap_or(0)]
    })?;
    let paths = [folder.join(TABLE), folder.join(SPACE)];
    table.write(&paths[0])?;
    space.write(&paths[1])?;
    Ok(paths)
}
