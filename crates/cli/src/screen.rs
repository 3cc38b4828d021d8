//! Drawing in place on a terminal.

use terminal_size::{Height, Width, terminal_size};

/// The size that is assumed where none is known.
const SIZE: (usize, usize) = (80, 24);
/// Most columns of a chart: wider ones are no easier to read.
const WIDEST: usize = 100;
/// Columns beside a chart.
const MARGIN: usize = 10;

/// Columns and rows of the terminal.
pub(crate) fn size() -> (usize, usize) {
    terminal_size().map_or(SIZE, |(Width(columns), Height(rows))| (columns.into(), rows.into()))
}

/// Columns for a chart.
pub(crate) fn columns() -> usize {
    size().0.saturating_sub(MARGIN).clamp(MARGIN, WIDEST)
}

/// Lines that take the place of those drawn before.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    drawn: usize,
}

impl Frame {
    /// The text that draws `lines`, each cut to `width` columns, over the last ones. Nothing is blanked before it is
    /// written over, so nothing flickers.
    pub(crate) fn draw(&mut self, lines: &[String], width: usize) -> String {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        for line in lines {
            text.extend(line.chars().take(width));
            text.push_str("\x1b[K\n");
        }
        if lines.len() < self.drawn {
            text.push_str("\x1b[J");
        }
        self.drawn = lines.len();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_drawn_over_the_last_one() {
        let mut frame = Frame::default();
        let lines = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        assert_eq!(frame.draw(&lines(&["one", "two"]), 80), "one\x1b[K\ntwo\x1b[K\n");
        assert_eq!(frame.draw(&lines(&["wide line"]), 4), "\x1b[2A\rwide\x1b[K\n\x1b[J");
        assert_eq!(frame.draw(&lines(&["a", "b"]), 80), "\x1b[1A\ra\x1b[K\nb\x1b[K\n");
    }
}
