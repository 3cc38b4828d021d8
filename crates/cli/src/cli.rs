//! The command line: global flags and the list of commands.

use std::ffi::OsString;
use std::num::NonZero;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use percept::{Fault, Result};

use crate::arguments::Global;
use crate::commands::Command;
use crate::{terminal, usage};

/// No machine has more cores, and each thread takes memory of its own.
const MOST_THREADS: usize = 4096;

/// Train, evaluate and run language models with bounded memory, on your own text.
#[derive(Debug, Parser)]
#[command(name = "percept", version, propagate_version = true, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Start with `percept quickstart`: it needs no data and no network.\n\
    Exit codes: 0 ok, 1 a check failed or training diverged, 2 usage or configuration,\n\
    3 environment (device, memory, file), 4 internal fault, 130 interrupted.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

impl Cli {
    pub(crate) fn start(self) -> Result<()> {
        start_threads(self.global.threads.map(NonZero::get))?;
        self.command.run(&self.global, Self::command())
    }
}

/// Starts the threads that compute; by default one per core. Where they began with the first work, a failure would be a panic.
fn start_threads(threads: Option<usize>) -> Result<()> {
    if let Some(threads) = threads.filter(|threads| *threads > MOST_THREADS) {
        return Err(Fault::usage(format!("--threads {threads} is more than {MOST_THREADS}"))
            .hint("one per core is best, and the default"));
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build_global().map_err(|error| {
        let count = threads.map_or_else(|| "a thread per core".to_owned(), |threads| format!("{threads} threads"));
        Fault::environment(format!("cannot start {count}")).because(error).hint("use fewer --threads")
    })
}

/// Reads the arguments; `None` where help or the version was asked for and has been printed.
pub(crate) fn parse() -> Result<Option<Cli>> {
    match Cli::try_parse() {
        Ok(cli) => Ok(Some(cli)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            terminal::write_stdout(&error.render().to_string())?;
            Ok(None)
        }
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => Err(not_text(std::env::args_os().skip(1))),
        Err(error) => {
            // Only commands are looked up among these: what is no text is none.
            let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
            Err(usage::fault(&error, &Cli::command(), arguments))
        }
    }
}

/// Some argument must be text and is not. Clap does not say which: paths that only this command uses may be any bytes.
fn not_text(arguments: impl Iterator<Item = OsString>) -> Fault {
    let named: Vec<String> =
        arguments.filter(|argument| argument.to_str().is_none()).map(|argument| format!("{argument:?}")).collect();
    let what = match named.is_empty() {
        true => "PERCEPT_DEVICE or PERCEPT_THREADS".to_owned(),
        false => named.join(", "),
    };
    Fault::usage(format!("not UTF-8: {what}"))
        .hint("names, texts and the paths of text and tokenizers must be UTF-8: rename the file or folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(arguments: &[&str]) -> (String, String) {
        let error = Cli::try_parse_from(arguments).unwrap_err();
        let fault = usage::fault(&error, &Cli::command(), arguments[1..].iter().map(|argument| argument.to_string()));
        (fault.to_string(), fault.hint_text().unwrap_or_default().to_string())
    }

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_say_what_and_what_to_do() {
        let (message, hint) = fault(&["percept", "doctr"]);
        assert_eq!((message.as_str(), hint.as_str()), ("unrecognized subcommand 'doctr'", "did you mean `doctor`?"));
        let (message, hint) = fault(&["percept", "doctor", "--jsn"]);
        assert_eq!((message.as_str(), hint.as_str()), ("unexpected argument '--jsn' found", "did you mean `--json`?"));
        let (_, hint) = fault(&["percept", "doctor", "surplus"]);
        assert_eq!(hint, "`percept doctor --help` shows what is accepted");
        let (message, hint) = fault(&["percept", "--quiet", "tokenizer"]);
        assert_eq!((message.as_str(), hint.as_str()), ("no command given", "`percept tokenizer --help` lists them"));
    }
}
