//! SVG text under construction.

use std::fmt::Write;

use percept_files::CHART_MARK;

/// A drawing: what [`super::Chart::draw`] gives, to be written as a file or as an element of a page.
#[derive(Debug, Clone)]
pub struct Canvas {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// Where a text stands against its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    /// An empty drawing; the title is what a screen reader says.
    pub(crate) fn new(size: (f64, f64), title: &str) -> Self {
        Self { width: size.0, height: size.1, title: title.to_string(), body: String::new() }
    }

    /// Appends SVG.
    pub(crate) fn push(&mut self, svg: impl AsRef<str>) {
        self.body.push_str(svg.as_ref());
    }

    /// A text with its baseline at `y`.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y) = (number(x), number(y));
        self.put(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{}</text>", escape(text)));
    }

    /// A straight line.
    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (number(from.0), number(from.1), number(to.0), number(to.1));
        self.put(format_args!("<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>"));
    }

    /// An invisible spot that shows `text` under the pointer.
    pub(crate) fn hint(&mut self, (x, y): (f64, f64), radius: f64, text: &str) {
        let (x, y, r) = (number(x), number(y), number(radius));
        let text = escape(text);
        self.put(format_args!("<circle class=\"hit\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"><title>{text}</title></circle>"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = self.body.write_fmt(text);
    }

    /// A complete SVG file.
    pub(crate) fn document(self) -> String {
        let style = format!("<style>{}</style>", super::STYLE.replace(['<', '&'], ""));
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{CHART_MARK}\n{}\n",
            self.with(" xmlns=\"http://www.w3.org/2000/svg\"", &style)
        )
    }

    /// An element of a page that holds the style sheet.
    pub(crate) fn element(self) -> String {
        self.with("", "")
    }

    fn with(self, namespace: &str, style: &str) -> String {
        let (width, height, title) = (number(self.width), number(self.height), escape(&self.title));
        format!(
            "<svg{namespace} class=\"chart\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{title}\">{style}<rect class=\"paper\" width=\"100%\" height=\"100%\"/>{}</svg>",
            self.body
        )
    }
}

/// A coordinate with at most one decimal.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.as_str(), |short| if short == "-0" { "0" } else { short }).to_string()
}

/// Text as content or attribute of HTML and SVG. Control characters, which XML forbids, are replaced.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// About how wide a text is, in pixels, a little on the safe side: fonts differ.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let widths = text.chars().map(|c| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '(' | ')' | '[' | ']' => 0.36,
        'f' | 'r' | 't' | '-' | '"' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.92,
        'A'..='Z' => 0.7,
        c if c.is_ascii() => 0.6,
        c if (c as u32) < 0x2e80 => 0.68,
        _ => 1.0,
    });
    widths.sum::<f64>() * size
}

/// The text, or as much of its start as fits with an ellipsis.
pub(crate) fn fit(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut short = String::new();
    for c in text.chars() {
        if text_width(&short, size) + text_width(&c.to_string(), size) + size > width {
            break;
        }
        short.push(c);
    }
    format!("{}…", short.trim_end())
}

/// The text in lines that fit, broken at blanks.
pub(crate) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(line, size) + text_width(" ", size) + text_width(word, size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, size, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escape("<script>'&\"\u{1b}\n"), "&lt;script&gt;&#39;&amp;&quot;\u{fffd}\n");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!((number(1.0), number(1.26), number(-0.04)), ("1".into(), "1.3".into(), "0".into()));
    }

    #[test]
    fn long_texts_are_cut_or_wrapped() {
        assert_eq!(fit("short", 12.0, 100.0), "short");
        let cut = fit("a very long name of a model", 12.0, 100.0);
        assert!(cut.ends_with('…') && text_width(&cut, 12.0) <= 104.0, "{cut}");
        assert_eq!(wrap("one two three", 10.0, 50.0), ["one two", "three"]);
        assert!(wrap("", 10.0, 50.0).is_empty());
    }
}
