//! Tables in text.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A table without lines: the first column to the left, figures to the right.
pub(crate) fn text(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["long name".into(), "1".into()], vec!["x".into(), "1,000".into()]];
        insta::assert_snapshot!(text(&["run", "step"], rows), @r"
        run         step
        long name      1
        x          1,000
        ");
    }
}
