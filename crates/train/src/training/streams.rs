//! Text that comes from pipes, kept in the run folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use percept_data::{DataConfig, keep_streams};
use percept_fault::Result;

use crate::run::run_folder::RunFolder;
use crate::training::observer::Observer;
use crate::training::start::Reading;

/// Folder of the kept text, in that of a run or of a comparison.
pub const KEPT_TEXT: &str = "text";
/// How far above a run folder kept text is looked for: that of a comparison lies two folders up.
const ABOVE: usize = 2;

/// The configuration with every source that can be read only once replaced by a file in the run folder.
pub(crate) fn keep(
    config: &DataConfig,
    folder: &RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<DataConfig> {
    keep_streams(config, &folder.path().join(KEPT_TEXT), &mut Reading { observer, stop })
}

/// The configuration of a run whose folder may have moved: kept text, which has moved with it, is named where it is now. Its name is
/// a hash of its content, so it is the same text.
pub(crate) fn found_again(config: &DataConfig, folder: &RunFolder) -> DataConfig {
    let mut config = config.clone();
    for source in [&mut config.sources, &mut config.validation, &mut config.test].into_iter().flatten() {
        if let Some(path) = moved(Path::new(&source.path), folder.path()) {
            source.path = path.display().to_string();
        }
    }
    config
}

/// Where kept text is now that is not where it was.
fn moved(path: &Path, run: &Path) -> Option<PathBuf> {
    let is_kept = path.parent().is_some_and(|folder| folder.ends_with(KEPT_TEXT));
    if !is_kept || path.exists() {
        return None;
    }
    let name = path.file_name()?;
    run.ancestors().take(1 + ABOVE).map(|folder| folder.join(KEPT_TEXT).join(name)).find(|path| path.is_file())
}
