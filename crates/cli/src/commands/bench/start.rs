//! `percept bench start`: from the start of `percept generate` to its first text, in fresh processes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;
use percept::data::Tokenizer;
use percept::fault::IoContext;
use percept::model::LanguageModel;
use percept::model::weights::Names;
use percept::train::PrecisionChoice;
use percept::{Fault, Result};

use super::child;
use super::measured::Measure;
use super::report::{Details, Measurement, Timed};
use super::subject::Subject;
use super::timing::{Times, WARM_UP};
use crate::arguments::Global;
use crate::commands::export::write_folder;
use crate::meter::Meter;

/// What the model goes on from.
const PROMPT: &str = "The";

/// Arguments of `percept bench start`.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// Starts on the clock, after two that warm up
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = super::at_least_one)]
    steps: usize,
}

impl Measure for Start {
    fn measure(&self, subject: &Subject, global: &Global) -> Result<Measurement> {
        let (model, device) = subject.build()?;
        let parameters = model.parameter_count();
        let folder = Temporary::new()?;
        write(&folder.0, model, subject)?;
        let times = self.starts(&folder.0, global)?;
        let typical = times.median();
        let timed = Timed {
            task: "start",
            precision: "f32".into(),
            products: PrecisionChoice::F32,
            device,
            parameters,
            steps: self.steps,
            tokens: 1,
            times,
            typical,
        };
        // The memory would be this process's, not that of the processes that were timed.
        Ok(Measurement { peak_rss_mib: None, ..Measurement::new(subject, timed, Details::default()) })
    }
}

impl Start {
    fn starts(&self, folder: &Path, global: &Global) -> Result<Times> {
        let program = child::own_program()?;
        let total = self.steps + WARM_UP;
        let mut meter = Meter::new(global.terminal(), "start", total as u64);
        let mut times = Vec::new();
        for run in 0..total {
            let milliseconds = first_text(&program, folder, global)?;
            if run >= WARM_UP {
                times.push(milliseconds);
            }
            meter.set(run as u64 + 1, || format!("{milliseconds:.1} ms"));
        }
        Ok(Times::new(times))
    }
}

/// A run folder of this model, whose tokenizer is bytes whatever the size of its vocabulary: starting reads the same weights.
fn write(folder: &Path, model: LanguageModel, subject: &Subject) -> Result<()> {
    write_folder(folder, &model, Names::Percept, &subject.config, &Tokenizer::bytes())
}

/// Milliseconds from the start of `percept generate` to its first text. A token may be half a character or none at all;
/// then the end of the process is what is waited for.
fn first_text(program: &Path, folder: &Path, global: &Global) -> Result<f64> {
    let mut command = Command::new(program);
    command.arg("generate").arg(folder).args(["--prompt", PROMPT, "--tokens", "1"]);
    if let Some(device) = &global.device {
        command.args(["--device", device]);
    }
    let begin = Instant::now();
    let mut child = command
        .args(["--threads", &rayon::current_num_threads().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .at("start", program)?;
    if let Some(stdout) = &mut child.stdout {
        // Nothing read is the end of the output.
        let _ = stdout.read(&mut [0]).at("read from", program)?;
    }
    let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
    let output = child.wait_with_output().at("wait for", program)?;
    match output.status.success() {
        true => Ok(milliseconds),
        false => Err(Fault::internal(format!("percept generate: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// A folder that goes away again.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("percept-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).at("make", &path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A folder that stays behind in the system's temporary folder is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
