//! Tables that sort.

use crate::report::figures::MISSING;
use percept_chart::escape;

/// A table with a caption. The first column names the rows.
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A column's header.
pub(crate) struct Column {
    name: String,
    help: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
}

/// A column of text; `help` says what it holds.
pub(crate) fn text(name: impl Into<String>, help: impl Into<String>) -> Column {
    Column { name: name.into(), help: help.into(), kind: Kind::Text }
}

/// A column of numbers.
pub(crate) fn number(name: impl Into<String>, help: impl Into<String>) -> Column {
    Column { name: name.into(), help: help.into(), kind: Kind::Number }
}

/// A cell: what it shows as HTML, and what it sorts by.
pub(crate) struct Cell {
    html: String,
    sort: String,
    class: &'static str,
}

impl Cell {
    /// Plain text.
    pub(crate) fn text(text: &str) -> Self {
        Self { html: escape(text), sort: text.to_string(), class: "" }
    }

    /// HTML made by this module's callers, sorted by `sort`.
    pub(crate) fn html(html: String, sort: &str) -> Self {
        Self { html, sort: sort.to_string(), class: "" }
    }

    /// A number as `text`; a value that is not finite is missing.
    pub(crate) fn number(value: f64, text: &str) -> Self {
        Self::marked(value, text, "")
    }

    /// A number with something small below it.
    pub(crate) fn with_below(value: f64, text: &str, below: &str) -> Self {
        let mut cell = Self::number(value, text);
        cell.html.push_str(&format!("<small>{}</small>", escape(below)));
        cell
    }

    /// A number in a class of the style sheet.
    pub(crate) fn marked(value: f64, text: &str, class: &'static str) -> Self {
        if !value.is_finite() {
            return Self::missing();
        }
        Self { html: escape(text), sort: value.to_string(), class }
    }

    /// No value; sorted last.
    pub(crate) fn missing() -> Self {
        Self { html: MISSING.into(), sort: String::new(), class: "soft" }
    }

    /// A number, if there is one.
    pub(crate) fn optional(value: Option<f64>, text: impl Fn(f64) -> String) -> Self {
        value.map_or_else(Self::missing, |value| Self::number(value, &text(value)))
    }
}

impl Table {
    /// The table in a frame that scrolls by itself where the screen is narrow.
    pub(crate) fn render(&self) -> String {
        let heads: String = self.columns.iter().map(Column::render).collect();
        let rows: String = self.rows.iter().map(|row| self.row(row)).collect();
        let caption = escape(&self.caption);
        format!(
            "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n<table>\n<caption>{caption}</caption>\n\
             <thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
        )
    }

    fn row(&self, cells: &[Cell]) -> String {
        let cells: String = cells
            .iter()
            .zip(&self.columns)
            .enumerate()
            .map(|(index, (cell, column))| {
                let (open, close) = if index == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
                let class = match (column.kind, cell.class) {
                    (Kind::Number, "") => "n".to_string(),
                    (Kind::Number, class) => format!("n {class}"),
                    (Kind::Text, class) => class.to_string(),
                };
                let class = if class.is_empty() { class } else { format!(" class=\"{class}\"") };
                format!("<{open}{class} data-sort=\"{}\">{}</{close}>", escape(&cell.sort), cell.html)
            })
            .collect();
        format!("<tr>{cells}</tr>\n")
    }
}

impl Column {
    fn render(&self) -> String {
        let class = if self.kind == Kind::Number { " class=\"n\" data-kind=\"number\"" } else { "" };
        let title = if self.help.is_empty() { String::new() } else { format!(" title=\"{}\"", escape(&self.help)) };
        format!("<th scope=\"col\"{class}{title}>{}</th>", escape(&self.name))
    }
}
