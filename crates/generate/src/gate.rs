//! Stop strings: what may be shown of a text that grows.

/// Holds back what may be the beginning of a stop string.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    stop: Vec<String>,
    held: String,
    closed: bool,
}

impl Gate {
    /// No stop string may be empty ([`crate::GenerationConfig::validate`]).
    pub(crate) fn new(stop: &[String]) -> Self {
        Self { stop: stop.to_vec(), held: String::new(), closed: false }
    }

    /// Whether a stop string has come: nothing is shown any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes new text and returns what is safe to show.
    pub(crate) fn pass(&mut self, new: &str) -> String {
        if self.closed {
            return String::new();
        }
        self.held.push_str(new);
        if let Some(at) = self.stop.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.closed = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = self.stop.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// No more text comes: a beginning that never became a stop string is text.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that begins `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest).rev().find(|&bytes| text.as_bytes().ends_with(&stop.as_bytes()[..bytes])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stop_string_across_pieces_is_never_shown() {
        let stop = vec!["\n\n".to_string(), "END".to_string()];
        let mut gate = Gate::new(&stop);
        assert_eq!(gate.pass("one\n"), "one");
        assert_eq!(gate.pass("two E"), "\ntwo ");
        assert_eq!(gate.pass("N"), "");
        assert_eq!(gate.pass("D of it"), "");
        assert!(gate.closed);
        assert_eq!((gate.pass("more"), gate.finish()), (String::new(), String::new()));
    }

    #[test]
    fn a_beginning_that_stays_one_is_text() {
        let stop = vec!["END".to_string()];
        let mut gate = Gate::new(&stop);
        assert_eq!((gate.pass("the EN"), gate.finish()), ("the ".to_string(), "EN".to_string()));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[aéb]{0,30}", stop in "[aéb]{1,3}", cuts in prop::collection::vec(0usize..30, 0..6)) {
            let stops = vec![stop.clone()];
            let mut gate = Gate::new(&stops);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut) && *cut <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut shown: String = cuts.windows(2).map(|pair| gate.pass(&text[pair[0]..pair[1]])).collect();
            shown.push_str(&gate.finish());
            let expected = text.find(&stop).map_or(text.as_str(), |at| &text[..at]);
            prop_assert_eq!(shown, expected);
        }
    }
}
