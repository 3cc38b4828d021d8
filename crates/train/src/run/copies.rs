//! The copies of configuration and tokenizer in every checkpoint: with them, a checkpoint has all that is needed to use it.

use std::path::Path;

use percept_data::Tokenizer;
use percept_fault::{Fault, IoContext, Result};

use crate::config::RunConfig;
use crate::config::layering::Override;
use crate::config::resolve::resolve_over;
use crate::run::run_folder::{CONFIG, MODEL, RunFolder, TOKENIZER};

/// Puts the copies into the folder of a checkpoint.
pub(crate) fn write_copies(folder: &Path, config: &RunConfig, tokenizer: &Tokenizer) -> Result<()> {
    let path = folder.join(CONFIG);
    std::fs::write(&path, config.to_run_file()?).at("write", &path)?;
    tokenizer.save(folder.join(TOKENIZER))
}

/// The configuration of a run, or else the copy in a checkpoint, with changes on top.
pub(crate) struct FoundConfig {
    pub(crate) config: RunConfig,
    /// Set where it is the copy although there is a run folder: what to tell.
    pub(crate) lost: Option<String>,
}

impl FoundConfig {
    /// # Errors
    /// Environment: there is none. Usage: it is wrong, or a change is.
    pub(crate) fn read(run: Option<&RunFolder>, checkpoint: Option<&Path>, changes: &[Override]) -> Result<Self> {
        if let Some(run) = run.filter(|run| run.holds_a_run()) {
            return Ok(Self { config: resolve_over(run.config_path(), changes)?, lost: None });
        }
        let copy = checkpoint.map(|folder| folder.join(CONFIG)).filter(|path| path.is_file());
        match (copy, run) {
            (Some(copy), run) => {
                let lost = run.map(|run| lost(&run.config_path(), &copy));
                Ok(Self { config: resolve_over(copy, changes)?, lost })
            }
            (None, Some(run)) => Err(no_config(run, checkpoint)),
            (None, None) => Err(RunFolder::new(checkpoint.unwrap_or(Path::new("."))).is_no_run()),
        }
    }
}

/// The tokenizer of a run, or else the copy in a checkpoint; what to tell where it is that.
///
/// # Errors
/// An environment fault where there is none.
pub(crate) fn find_tokenizer(
    run: Option<&RunFolder>,
    checkpoint: Option<&Path>,
    config: &RunConfig,
) -> Result<(Tokenizer, Option<String>)> {
    let own = run.map(RunFolder::tokenizer_path);
    if let Some(path) = own.as_ref().filter(|path| path.exists()) {
        return Ok((Tokenizer::from_file(path)?, None));
    }
    let copy = checkpoint.map(|folder| folder.join(TOKENIZER)).filter(|path| path.is_file());
    match (copy, own) {
        (Some(copy), own) => Ok((Tokenizer::from_file(&copy)?, own.map(|own| lost(&own, &copy)))),
        (None, own) if config.data.tokenizer == "bytes" => {
            let told = own.map(|own| format!("{} is missing: the run reads bytes", own.display()));
            Ok((Tokenizer::bytes(), told))
        }
        (None, own) => {
            let missing = own.or(checkpoint.map(|folder| folder.join(TOKENIZER))).unwrap_or_default();
            Err(Fault::environment(format!("{} is missing", missing.display())).hint(format!(
                "copy the tokenizer.json that the run was trained with to this place; it was {}",
                config.data.tokenizer
            )))
        }
    }
}

fn lost(path: &Path, copy: &Path) -> String {
    format!("{} is missing: {} is used", path.display(), copy.display())
}

fn no_config(run: &RunFolder, checkpoint: Option<&Path>) -> Fault {
    let Some(checkpoint) = checkpoint else {
        return Fault::environment(format!("{} has no config.toml", run.path().display()))
            .hint("put the config.toml of the run back, or train again into another run folder");
    };
    Fault::environment(format!("{} has no config.toml, nor has its newest checkpoint", run.path().display())).hint(
        format!(
            "put the config.toml of the run back; or keep the weights alone: `percept import {} --tokenizer {} --out FOLDER`",
            checkpoint.join(MODEL).display(),
            run.tokenizer_path().display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A run without configuration and tokenizer, and the folder of its checkpoint.
    fn run() -> (tempfile::TempDir, RunFolder, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::new(folder.path());
        let checkpoint = run.checkpoints().path(4);
        fs::create_dir_all(&checkpoint).unwrap();
        (folder, run, checkpoint)
    }

    #[test]
    fn a_checkpoint_restores_what_its_run_has_lost() {
        let (_folder, run, checkpoint) = run();
        let tokenizer = Tokenizer::train_bpe(["some sheep and more"].into_iter(), 260).unwrap();
        let mut config = RunConfig::default();
        config.train.steps = 77;
        write_copies(&checkpoint, &config, &tokenizer).unwrap();
        let found =
            FoundConfig::read(Some(&run), Some(&checkpoint), &[Override::set("train.batch=3").unwrap()]).unwrap();
        assert_eq!((found.config.train.steps, found.config.train.batch), (77, 3));
        assert!(found.lost.unwrap().contains("config.toml is missing"));
        let (restored, lost) = find_tokenizer(Some(&run), Some(&checkpoint), &config).unwrap();
        assert!(
            restored.fingerprint() == tokenizer.fingerprint() && lost.unwrap().contains("tokenizer.json is missing")
        );
        // What the run has of its own comes first, and is no loss.
        config.train.steps = 78;
        fs::write(run.config_path(), config.to_toml().unwrap()).unwrap();
        Tokenizer::bytes().save(run.tokenizer_path()).unwrap();
        let found = FoundConfig::read(Some(&run), Some(&checkpoint), &[]).unwrap();
        assert_eq!((found.config.train.steps, found.lost), (78, None));
        assert!(find_tokenizer(Some(&run), Some(&checkpoint), &config).unwrap().0.is_bytes());
    }

    #[test]
    fn a_checkpoint_of_an_older_version_has_no_copies() {
        let (_folder, run, checkpoint) = run();
        let fault = FoundConfig::read(Some(&run), Some(&checkpoint), &[]).err().unwrap();
        assert!(fault.is_environment() && fault.to_string().ends_with("nor has its newest checkpoint"), "{fault}");
        let hint = fault.hint_text().unwrap();
        assert!(hint.contains("percept import ") && hint.contains("step-000004/model.safetensors"), "{hint}");
        let mut config = RunConfig::default();
        assert!(find_tokenizer(Some(&run), Some(&checkpoint), &config).unwrap().0.is_bytes());
        config.data.tokenizer = "/old/bpe.json".into();
        let fault = find_tokenizer(Some(&run), Some(&checkpoint), &config).unwrap_err();
        assert!(fault.is_environment() && fault.hint_text().unwrap().contains("/old/bpe.json"), "{fault}");
    }
}
