//! Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::human;
use crate::terminal::{Talk, Terminal};

/// How often a plain line is written where nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a piece of work has got.
#[derive(Debug)]
pub(crate) struct Meter {
    terminal: Terminal,
    label: String,
    bar: ProgressBar,
    total: u64,
    first: Option<(u64, Instant)>,
    last_line: Instant,
}

impl Meter {
    /// A meter over `total` units; nothing is drawn before the first [`Meter::set`].
    pub(crate) fn new(terminal: Terminal, label: &str, total: u64) -> Self {
        let target = match terminal.is_watched() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        // The template is a constant; a broken one would only lose the looks.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3}%  {wide_msg}") {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_prefix(label.to_string());
        Self { terminal, label: label.into(), bar, total, first: None, last_line: Instant::now() }
    }

    /// Work has got to `done`; `detail` is shown beside it.
    pub(crate) fn set(&mut self, done: u64, detail: impl FnOnce() -> String) {
        let now = Instant::now();
        let (start, since) = *self.first.get_or_insert((done, now));
        let left = time_left(done - start.min(done), self.total.saturating_sub(done), now - since);
        if self.terminal.is_watched() {
            self.bar.set_position(done);
            self.bar.set_message(join(&detail(), left));
        } else if self.terminal.talk == Talk::Normal && now - self.last_line >= LINE_EVERY {
            self.last_line = now;
            self.terminal.say(format!("{} {done}/{}  {}", self.label, self.total, join(&detail(), left)));
        }
    }

    /// Says a line without tearing the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| self.terminal.say(line));
    }

    /// Warns without tearing the bar.
    pub(crate) fn warn(&self, line: &str) {
        self.bar.suspend(|| self.terminal.warn(line));
    }
}

/// Work that comes in parts, one after the other: each has a meter of its own.
#[derive(Debug)]
pub(crate) struct Parts {
    terminal: Terminal,
    current: Option<(String, Meter)>,
}

impl Parts {
    /// Nothing is drawn before the first [`Parts::set`].
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { terminal, current: None }
    }

    /// The part of this name has got to `done` of `total`; `label` and `detail` are shown.
    pub(crate) fn set(&mut self, part: &str, label: &str, done: u64, total: u64, detail: impl FnOnce() -> String) {
        if self.current.as_ref().is_none_or(|(current, _)| current != part) {
            self.current = Some((part.to_owned(), Meter::new(self.terminal, label, total)));
        }
        if let Some((_, meter)) = &mut self.current {
            meter.set(done, detail);
        }
    }

    /// Says a line without tearing the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.current {
            Some((_, meter)) => meter.say(line),
            None => self.terminal.say(line),
        }
    }

    /// Warns without tearing the bar.
    pub(crate) fn warn(&self, line: &str) {
        match &self.current {
            Some((_, meter)) => meter.warn(line),
            None => self.terminal.warn(line),
        }
    }

    /// The work is done: the bar goes.
    pub(crate) fn finish(&mut self) {
        self.current = None;
    }
}

impl Drop for Meter {
    /// The bar vanishes: what matters is printed by the command.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn time_left(done: u64, left: u64, spent: Duration) -> Option<String> {
    let enough = done > 0 && left > 0 && spent >= Duration::from_secs(1);
    enough.then(|| human::duration(spent.as_secs_f64() / done as f64 * left as f64))
}

fn join(detail: &str, left: Option<String>) -> String {
    match left {
        Some(left) => format!("{detail}  {left} left"),
        None => detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_in_proportion() {
        assert_eq!(time_left(10, 30, Duration::from_secs(20)), Some("1m00s".into()));
        assert_eq!(time_left(0, 30, Duration::from_secs(20)), None);
        assert_eq!(time_left(10, 30, Duration::from_millis(20)), None);
    }
}
