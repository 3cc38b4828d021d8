//! A small line chart in text, for curves that fall.

/// Rows of the chart.
const ROWS: usize = 8;

/// Draws `values` (at least one, finite) over `width` columns; the axis shows the first and last `steps`.
///
/// Each column is the mean of the values that fall into it.
pub(crate) fn chart(values: &[f64], steps: (u64, u64), width: usize) -> String {
    let columns = resample(values, width);
    let top = columns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bottom = columns.iter().copied().fold(f64::INFINITY, f64::min);
    let span = (top - bottom).max(1e-9);
    // Every cell has eight heights, the block characters from one eighth to full.
    let heights: Vec<usize> =
        columns.iter().map(|value| 1 + ((value - bottom) / span * (8 * ROWS - 1) as f64).round() as usize).collect();
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let label = match row {
            row if row == ROWS - 1 => format!("{top:6.2} "),
            0 => format!("{bottom:6.2} "),
            _ => " ".repeat(7),
        };
        text.push_str(&label);
        text.push('|');
        text.extend(heights.iter().map(|height| BLOCKS[height.saturating_sub(8 * row).min(8)]));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let (first, last) = (format!("step {}", steps.0), steps.1.to_string());
    let gap = columns.len().saturating_sub(first.len() + last.len()).max(1);
    text.push_str(&format!("{}{first}{}{last}", " ".repeat(8), " ".repeat(gap)));
    text
}

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

fn resample(values: &[f64], width: usize) -> Vec<f64> {
    let width = width.min(values.len()).max(1);
    (0..width)
        .map(|column| {
            let part = &values[column * values.len() / width..(column + 1) * values.len() / width];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_curve_falls() {
        let text = chart(&[8.0, 4.0, 2.0, 1.0], (1, 4), 4);
        insta::assert_snapshot!(text, @r"
        8.00 |█
             |█
             |█
             |█
             |█▄
             |██
             |██▂
        1.00 |███▁
              step 1 4
        ");
    }

    #[test]
    fn one_value_and_many_values_fit() {
        assert!(chart(&[1.0], (1, 1), 60).contains("1.00"));
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        assert!(chart(&many, (1, 1000), 60).lines().all(|line| line.chars().count() <= 68));
    }
}
