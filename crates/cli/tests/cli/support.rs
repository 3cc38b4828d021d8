//! A work folder with a text in it, and the binary started there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A model that trains in a second.
pub(crate) const TINY: [&str; 12] = [
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "model.context=64",
    "model.segment=16",
    "train.batch=2",
    "train.log_every=1",
    "train.validate_every=0",
    "train.sample_every=0",
    "train.checkpoint_every=0",
    "train.learning_rate=0.01",
    "sample.tokens=0",
];

/// A folder that is removed at the end of the test.
pub(crate) struct Work {
    folder: TempDir,
}

/// What a finished process left.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Work {
    /// A folder with `text.txt` in it.
    pub(crate) fn new() -> Self {
        let work = Self { folder: tempfile::tempdir().unwrap() };
        work.write("text.txt", &"The quick brown fox jumps over the lazy dog. Größe zählt nicht. ".repeat(60));
        work
    }

    /// A folder in which `run` is a trained model.
    pub(crate) fn trained(steps: u32) -> Self {
        let work = Self::new();
        work.train(&["--steps", &steps.to_string()]).succeeds();
        work
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The binary, to be started in this folder, with nothing of the tester's own settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PERCEPT_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("CARGO")
            .env_remove("RUST_BACKTRACE")
            .env_remove("SLURM_ARRAY_TASK_ID")
            .env_remove("JOB_COMPLETION_INDEX")
            .env("PERCEPT_THREADS", "1")
            .stdin(std::process::Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.finished(self.command(arguments).output().unwrap())
    }

    /// The command that trains a tiny model on `text.txt` into the folder `run`.
    pub(crate) fn training(&self, more: &[&str]) -> Command {
        let mut arguments = vec!["train", "llp-tiny", "--data", "text.txt"];
        if !more.contains(&"--run") {
            arguments.extend(["--run", "run"]);
        }
        arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
        arguments.extend(more);
        self.command(&arguments)
    }

    pub(crate) fn train(&self, more: &[&str]) -> Finished {
        self.finished(self.training(more).output().unwrap())
    }

    /// What a process left that ended.
    pub(crate) fn finished(&self, output: Output) -> Finished {
        Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: self.without_paths(&output.stdout),
            stderr: self.without_paths(&output.stderr),
        }
    }

    /// The same for every tester: the folder's name is replaced.
    pub(crate) fn without_paths(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let real = self.folder.path().canonicalize().unwrap();
        [real.as_path(), self.folder.path()].into_iter().fold(text, |text, path| replace(&text, path))
    }
}

fn replace(text: &str, path: &Path) -> String {
    text.replace(&path.display().to_string(), "[DIR]")
}

impl Finished {
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    /// The one JSON object on stdout.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.matches('\n').count(), 1, "one line: {}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Exit code and message of a refusal; stdout must be empty.
    pub(crate) fn refusal(&self) -> String {
        assert_eq!(self.stdout, "");
        format!("exit {}\n{}", self.code, self.stderr)
    }
}
