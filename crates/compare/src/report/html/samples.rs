//! What the models write.

use super::{section as framed, styled};
use crate::report::Report;
use percept_chart::{escape, swatch};

/// The samples of all models after the same prompt.
pub(super) fn section(report: &Report) -> String {
    let models = styled(&report.comparison);
    let cards: String = models
        .filter_map(|(style, model)| {
            let sample = model.sample.as_ref()?;
            Some(format!(
                "<article>\n<h3>{}{}</h3>\n<blockquote><b>{}</b>{}</blockquote>\n</article>\n",
                swatch(style),
                escape(&model.name),
                escape(&report.comparison.prompt),
                escape(sample)
            ))
        })
        .collect();
    if cards.is_empty() {
        return String::new();
    }
    let note = match report.comparison.prompt.is_empty() {
        true => "What each model writes at the start of a document.",
        false => "What each model writes after the same prompt, which is bold.",
    };
    framed("samples", "Samples", note, &format!("<div class=\"grid samples\">\n{cards}</div>\n"))
}
