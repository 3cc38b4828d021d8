//! Where output goes: data to stdout, talk to stderr, colour only where a person looks at it.

use std::io::{self, ErrorKind, IsTerminal, Write};

use percept::fault::{Fault, Result};
use serde::Serialize;

/// What the user reads on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    Text,
    /// One JSON object (streams: one per line) for programs.
    Json,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Progress and remarks.
    Normal,
    /// Only warnings and errors.
    Quiet,
}

/// The two output streams of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    pub(crate) format: Format,
    pub(crate) talk: Talk,
}

/// A colour or weight; nothing where the stream is no terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
        }
    }

    /// The text in this style for stdout.
    pub(crate) fn out(self, text: &str) -> String {
        self.paint(text, &io::stdout())
    }

    /// The text in this style for stderr.
    pub(crate) fn err(self, text: &str) -> String {
        self.paint(text, &io::stderr())
    }

    fn paint(self, text: &str, to: &impl IsTerminal) -> String {
        // https://no-color.org: any value that is not empty turns colour off.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        match to.is_terminal() && !refused && !dumb {
            true => format!("\x1b[{}m{text}\x1b[0m", self.code()),
            false => text.to_string(),
        }
    }
}

impl Terminal {
    /// Says a line on stderr, unless quiet.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        if self.talk == Talk::Normal {
            talk(line.as_ref());
        }
    }

    /// Warns on stderr, quiet or not.
    pub(crate) fn warn(&self, line: impl AsRef<str>) {
        talk(&format!("{} {}", Style::Yellow.err("warning:"), line.as_ref()));
    }

    /// Writes text for people to stdout; nothing with `--json`.
    pub(crate) fn text(&self, line: impl AsRef<str>) -> Result<()> {
        match self.format {
            Format::Text => write_stdout(&format!("{}\n", line.as_ref())),
            Format::Json => Ok(()),
        }
    }

    /// Writes one JSON object on a line of stdout; nothing without `--json`.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        match self.format {
            Format::Json => write_stdout(&format!("{}\n", to_json(value)?)),
            Format::Text => Ok(()),
        }
    }

    /// True where progress bars and colours make sense on stderr.
    pub(crate) fn is_watched(&self) -> bool {
        self.talk == Talk::Normal && io::stderr().is_terminal()
    }
}

/// True where stdout is a terminal on which text can be drawn in place.
pub(crate) fn is_screen(terminal: Terminal) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    terminal.format == Format::Text && io::stdout().is_terminal() && !dumb
}

/// Writes to stdout at once. A reader that went away (`percept ... | head`) ends the program quietly.
pub(crate) fn write_stdout(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Fault::environment("cannot write to the standard output").because(error)),
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Fault::internal("cannot write the result as JSON").because(error))
}

/// A closed stderr is no reason to stop working.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints a fault as `error: ...` and `hint: ...`.
pub(crate) fn print_fault(fault: &Fault) {
    talk(&format!("{} {fault}", Style::Red.err("error:")));
    if let Some(hint) = fault.hint_text() {
        talk(&format!("{} {hint}", Style::Cyan.err("hint:")));
    }
}

/// How this program was started, for commands that the user may copy.
pub(crate) fn invocation() -> &'static str {
    // Cargo sets it for what it runs.
    match std::env::var_os("CARGO") {
        Some(_) => "cargo run --release --",
        None => "percept",
    }
}
