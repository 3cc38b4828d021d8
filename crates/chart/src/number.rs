//! Numbers as people read them on charts.

/// What a number counts, which decides how it is written.
///
/// ```
/// use percept_chart::Unit;
/// assert_eq!(Unit::Plain.value(2.35891), "2.359");
/// assert_eq!(Unit::Count.value(1_434_000.0), "1.434M");
/// assert_eq!(Unit::Binary.value(65_536.0), "64k");
/// assert_eq!(Unit::Seconds.value(5400.0), "1.5 h");
/// assert_eq!(Unit::Percent.rounded(0.9375, 2), "94 %");
/// assert_eq!(Unit::Bytes.value(f64::NAN), "–");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unit {
    /// As it is: `2.359`.
    #[default]
    Plain,
    /// In thousands: `1.5k`, `20M`, `3G`.
    Count,
    /// In powers of 1024: `64k` is 65,536. For lengths in tokens.
    Binary,
    /// `12.3 MiB`.
    Bytes,
    /// `3.1 ms`, `42 s`, `3 min`, `2 h`.
    Seconds,
    /// A share: 0.5 is `50 %`.
    Percent,
}

/// Size of a step of a unit and its name.
type Suffix = (f64, &'static str);

const KIBI: f64 = 1024.0;
const COUNTS: &[Suffix] = &[(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P"), (1e18, "E")];
const BINARY: &[Suffix] =
    &[(1.0, ""), (KIBI, "k"), (KIBI * KIBI, "M"), (KIBI * KIBI * KIBI, "G"), (KIBI * KIBI * KIBI * KIBI, "T")];
const BYTES: &[Suffix] = &[
    (1.0, " B"),
    (KIBI, " KiB"),
    (KIBI * KIBI, " MiB"),
    (KIBI * KIBI * KIBI, " GiB"),
    (KIBI * KIBI * KIBI * KIBI, " TiB"),
];
const SECONDS: &[Suffix] =
    &[(1e-6, " µs"), (1e-3, " ms"), (1.0, " s"), (60.0, " min"), (3600.0, " h"), (86_400.0, " d")];
const PERCENT: &[Suffix] = &[(0.01, " %")];
const PLAIN: &[Suffix] = &[(1.0, "")];

impl Unit {
    fn suffixes(self) -> &'static [Suffix] {
        match self {
            Unit::Plain => PLAIN,
            Unit::Count => COUNTS,
            Unit::Binary => BINARY,
            Unit::Bytes => BYTES,
            Unit::Seconds => SECONDS,
            Unit::Percent => PERCENT,
        }
    }

    fn suffix(self, magnitude: f64) -> Suffix {
        let suffixes = self.suffixes();
        if magnitude == 0.0 && self == Unit::Seconds {
            return (1.0, " s");
        }
        suffixes.iter().rev().find(|(size, _)| magnitude >= *size).copied().unwrap_or(suffixes[0])
    }

    /// A value with four significant digits, e.g. for a label beside a point.
    pub fn value(self, value: f64) -> String {
        self.rounded(value, 4)
    }

    /// A value with so many significant digits (at least those before the point).
    pub fn rounded(self, value: f64, figures: i32) -> String {
        if !value.is_finite() {
            return "–".into();
        }
        let rounded = significant(value, figures);
        if self == Unit::Plain && rounded != 0.0 && !(1e-4..1e7).contains(&rounded.abs()) {
            return minus(format!("{value:.2e}"));
        }
        let (size, name) = self.suffix(rounded.abs().max(value.abs()));
        let scaled = value / size;
        let digits = if scaled == 0.0 { 0 } else { (figures - 1 - scaled.abs().log10().floor() as i32).clamp(0, 7) };
        format!("{}{name}", decimal(scaled, digits as usize))
    }

    /// A label of an axis whose neighbours are `step` away.
    pub(crate) fn tick(self, value: f64, step: f64) -> String {
        if self == Unit::Plain && value != 0.0 && !(1e-4..1e7).contains(&value.abs()) {
            return minus(format!("{value:e}"));
        }
        let (size, name) = self.suffix(value.abs() * (1.0 + 1e-9));
        // The least number of digits that writes the step exactly.
        let step = step / size;
        let digits = (0..7).find(|&digits| {
            let scaled = step * 10f64.powi(digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        });
        format!("{}{name}", decimal(value / size, digits.unwrap_or(3) as usize))
    }
}

/// `value` rounded to so many significant digits.
fn significant(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let factor = 10f64.powi(digits - 1 - value.abs().log10().floor() as i32);
    let rounded = (value * factor).round() / factor;
    if rounded.is_finite() { rounded } else { value }
}

/// With at most so many decimals, without zeros at the end, and with a true minus sign.
fn decimal(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    minus(if text == "-0" { "0".into() } else { text.into() })
}

fn minus(text: String) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_four_digits_and_a_unit() {
        let cases = [
            (Unit::Plain, 2.35891, "2.359"),
            (Unit::Plain, 0.0, "0"),
            (Unit::Plain, -0.25, "−0.25"),
            (Unit::Plain, 3.2e-9, "3.20e−9"),
            (Unit::Count, 1_434_000.0, "1.434M"),
            (Unit::Count, 999_999.0, "1M"),
            (Unit::Count, 6.4e15, "6.4P"),
            (Unit::Binary, 65_536.0, "64k"),
            (Unit::Bytes, 1536.0, "1.5 KiB"),
            (Unit::Bytes, 0.0, "0 B"),
            (Unit::Seconds, 0.0011, "1.1 ms"),
            (Unit::Seconds, 0.0, "0 s"),
            (Unit::Seconds, 5400.0, "1.5 h"),
            (Unit::Percent, 0.125, "12.5 %"),
            (Unit::Plain, f64::NAN, "–"),
        ];
        for (unit, value, text) in cases {
            assert_eq!(unit.value(value), text, "{unit:?} {value}");
        }
        assert_eq!(
            (Unit::Bytes.rounded(347e6, 3), Unit::Percent.rounded(0.9375, 2)),
            ("331 MiB".into(), "94 %".into())
        );
        assert_eq!((Unit::Count.rounded(12_345.0, 3), Unit::Plain.rounded(1234.0, 3)), ("12.3k".into(), "1234".into()));
    }

    #[test]
    fn ticks_have_the_digits_of_their_step() {
        assert_eq!((Unit::Plain.tick(2.0, 0.5), Unit::Plain.tick(2.5, 0.5)), ("2".into(), "2.5".into()));
        assert_eq!((Unit::Count.tick(5e5, 5e5), Unit::Count.tick(1.5e6, 5e5)), ("500k".into(), "1.5M".into()));
        assert_eq!((Unit::Binary.tick(1024.0, 1024.0), Unit::Bytes.tick(0.0, 512.0)), ("1k".into(), "0 B".into()));
        assert_eq!(Unit::Plain.tick(0.1 + 0.2, 0.1), "0.3");
        let gibi = 2f64.powi(30);
        assert_eq!((Unit::Bytes.tick(gibi, gibi), Unit::Bytes.value(gibi)), ("1 GiB".into(), "1 GiB".into()));
        assert_eq!(Unit::Seconds.tick(90.0, 30.0), "1.5 min");
    }
}
