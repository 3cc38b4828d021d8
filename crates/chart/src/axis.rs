//! Axes: what they measure, where their ticks lie, and which pixel a value has.

use super::number::Unit;

/// How values become places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// Even steps, from about the lowest value to about the highest.
    #[default]
    Linear,
    /// Even steps from zero: for amounts whose ratio matters.
    FromZero,
    /// Logarithmic with ticks at powers of two.
    Log2,
    /// Logarithmic with ticks at powers of ten.
    Log10,
}

impl Scale {
    fn is_logarithmic(self) -> bool {
        matches!(self, Scale::Log2 | Scale::Log10)
    }

    fn of(self, value: f64) -> f64 {
        if self.is_logarithmic() { value.log2() } else { value }
    }
}

/// An axis: label, scale and unit.
///
/// ```
/// use percept_chart::{Axis, Chart, LineChart, Scale, Series, Unit};
/// let chart = LineChart {
///     x: Axis::new("step"),
///     y: Axis::new("state").scale(Scale::Log2).unit(Unit::Bytes).range(1024.0, 4096.0),
///     series: vec![Series::new("a", vec![(1.0, 2048.0), (2.0, 0.0)])],
///     ..LineChart::default()
/// };
/// let svg = chart.to_svg();
/// assert!(svg.contains(">1 KiB</text>") && svg.contains(">4 KiB</text>"));
/// // A logarithmic axis has no place for 0: the point is left out.
/// assert!(!svg.contains("0 B"));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axis {
    /// What it measures, e.g. `context in tokens`.
    pub label: String,
    /// How values become places.
    pub scale: Scale,
    /// How its numbers are written.
    pub unit: Unit,
    /// The values at its ends; `None`: as the data ask for. What lies outside is cut off.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// A linear axis of plain numbers.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// With this scale.
    pub fn scale(mut self, scale: Scale) -> Self {
        self.scale = scale;
        self
    }

    /// With this unit.
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// With these ends.
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }

    /// Whether a value has a place on this axis.
    pub(crate) fn takes(&self, value: f64) -> bool {
        value.is_finite() && (!self.scale.is_logarithmic() || value > 0.0)
    }

    /// The ends for these values, with a margin of `pad` of the span; `None` where no value has a place.
    pub(crate) fn span(&self, values: impl Iterator<Item = f64>, pad: f64) -> Option<(f64, f64)> {
        if let Some((low, high)) = self.range.filter(|(low, high)| self.takes(*low) && self.takes(*high) && low < high)
        {
            return Some((low, high));
        }
        let valid = values.filter(|value| self.takes(*value));
        let (mut low, mut high) = valid.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return None;
        }
        let positive = low >= 0.0;
        if self.scale == Scale::FromZero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        let (low, high) = match (self.scale.is_logarithmic(), low == high) {
            (true, true) => (low / 2.0, high * 2.0),
            (true, false) => {
                let factor = (high / low).powf(pad);
                (low / factor, high * factor)
            }
            (false, true) => {
                let around = if low == 0.0 { 1.0 } else { low.abs() / 10.0 };
                (low - around, high + around)
            }
            (false, false) => (low - (high - low) * pad, high + (high - low) * pad),
        };
        // A margin does not make an amount negative.
        Some((if positive && !self.scale.is_logarithmic() { low.max(0.0) } else { low }, high))
    }
}

/// A labelled place on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// An axis with known ends on a stretch of pixels.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    scale: Scale,
    unit: Unit,
    ends: (f64, f64),
    pixels: (f64, f64),
}

impl Placed {
    /// `ends` are the values at the two `pixels`.
    pub(crate) fn new(axis: &Axis, ends: (f64, f64), pixels: (f64, f64)) -> Self {
        Self { scale: axis.scale, unit: axis.unit, ends, pixels }
    }

    /// The pixel of a value that the axis takes.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.scale.of(self.ends.0), self.scale.of(self.ends.1));
        self.pixels.0 + (self.scale.of(value) - low) / (high - low) * (self.pixels.1 - self.pixels.0)
    }

    /// Whether a value lies between the ends.
    pub(crate) fn holds(&self, value: f64) -> bool {
        // The ends themselves are in, whatever rounding did.
        let slack = (self.ends.1 - self.ends.0).abs() * 1e-9;
        value >= self.ends.0 - slack && value <= self.ends.1 + slack
    }

    /// At most `most` ticks (at least two where the axis has room for them).
    pub(crate) fn ticks(&self, most: usize) -> Vec<Tick> {
        let most = most.max(2);
        let powers = match self.scale {
            Scale::Log2 => powers(self.ends, 2.0, most),
            Scale::Log10 => powers(self.ends, 10.0, most),
            Scale::Linear | Scale::FromZero => Vec::new(),
        };
        // Half an octave or half a decade holds no powers to speak of: even steps, then.
        if powers.len() >= 2 {
            return powers.into_iter().map(|value| Tick { value, label: self.unit.tick(value, value) }).collect();
        }
        let (step, values) = even(self.ends, self.unit, most);
        values.into_iter().map(|value| Tick { value, label: self.unit.tick(value, step) }).collect()
    }
}

/// Powers of `base` between the ends; every second, third... one where there are too many, and 1, 2, 5 times
/// each power of ten where there are few.
fn powers((low, high): (f64, f64), base: f64, most: usize) -> Vec<f64> {
    let exponent = |value: f64| value.ln() / base.ln();
    let (first, last) = ((exponent(low) - 1e-9).ceil() as i32, (exponent(high) + 1e-9).floor() as i32);
    let within = |value: &f64| *value >= low * (1.0 - 1e-9) && *value <= high * (1.0 + 1e-9);
    if base == 10.0 {
        let fine: Vec<f64> = (first - 1..=last)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|mantissa| mantissa * 10f64.powi(power)))
            .filter(within)
            .collect();
        if fine.len() <= most {
            return fine;
        }
    }
    let stride = (1..).find(|stride| (last - first) / stride < most as i32).unwrap_or(1);
    (first..=last).filter(|power| power.rem_euclid(stride) == 0).map(|power| base.powi(power)).collect()
}

/// Multiples of a round step between the ends, two of them at least where there are such steps.
fn even((low, high): (f64, f64), unit: Unit, most: usize) -> (f64, Vec<f64>) {
    let multiples = |most: usize| {
        let step = round_step((high - low) / most as f64, unit);
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        let count = (last - first + 1.0).max(0.0) as usize;
        (step, (0..count).map(|index| (first + index as f64) * step).collect::<Vec<f64>>())
    };
    (most..most + 4).map(multiples).find(|(_, values)| values.len() >= 2).unwrap_or_else(|| multiples(most))
}

/// The smallest round step that is not smaller than `raw`.
fn round_step(raw: f64, unit: Unit) -> f64 {
    const CLOCK: [f64; 18] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0,
        43_200.0, 86_400.0,
    ];
    match unit {
        Unit::Bytes | Unit::Binary if raw > 1.0 => 2f64.powf((raw.log2() - 1e-9).ceil()),
        Unit::Seconds if raw > 1.0 && raw <= 86_400.0 => CLOCK.into_iter().find(|step| *step >= raw).unwrap_or(raw),
        Unit::Seconds if raw > 86_400.0 => round_step(raw / 86_400.0, Unit::Plain) * 86_400.0,
        _ => {
            let power = 10f64.powf(raw.log10().floor());
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw * (1.0 - 1e-9)).unwrap_or(raw)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, ends: (f64, f64), most: usize) -> Vec<String> {
        Placed::new(axis, ends, (0.0, 100.0)).ticks(most).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn powers_of_two_read_as_lengths() {
        let axis = Axis::new("context").scale(Scale::Log2).unit(Unit::Binary);
        let ends = (1024.0, 1_048_576.0);
        assert_eq!(labels(&axis, ends, 6), ["1k", "4k", "16k", "64k", "256k", "1M"].map(String::from));
        assert_eq!(labels(&axis, ends, 4), ["4k", "32k", "256k"].map(String::from));
        assert_eq!(labels(&axis, ends, 11).len(), 11);
    }

    #[test]
    fn decades_get_finer_ticks_where_there_are_few() {
        let axis = Axis::new("operations").scale(Scale::Log10).unit(Unit::Count);
        assert_eq!(labels(&axis, (1e3, 1e9), 8), ["1k", "10k", "100k", "1M", "10M", "100M", "1G"].map(String::from));
        assert_eq!(labels(&axis, (1e6, 2e7), 8), ["1M", "2M", "5M", "10M", "20M"].map(String::from));
        assert_eq!(labels(&axis, (2.1e6, 2.9e6), 5), ["2.2M", "2.4M", "2.6M", "2.8M"].map(String::from));
    }

    #[test]
    fn even_steps_are_round_in_their_unit() {
        assert_eq!(labels(&Axis::new("y"), (2.03, 3.9), 5), ["2.5", "3", "3.5"].map(String::from));
        assert_eq!(
            labels(&Axis::new("y").unit(Unit::Bytes), (0.0, 4.4e8), 5),
            ["0 B", "128 MiB", "256 MiB", "384 MiB"].map(String::from)
        );
        assert_eq!(
            labels(&Axis::new("y").unit(Unit::Seconds), (0.0, 4000.0), 5),
            ["0 s", "15 min", "30 min", "45 min", "1 h"].map(String::from)
        );
    }

    #[test]
    fn places_follow_the_scale() {
        let even = Placed::new(&Axis::new("y"), (0.0, 10.0), (100.0, 0.0));
        assert_eq!((even.at(0.0), even.at(2.5), even.at(10.0)), (100.0, 75.0, 0.0));
        let log = Placed::new(&Axis::new("x").scale(Scale::Log10), (1.0, 10_000.0), (0.0, 400.0));
        assert!((log.at(100.0) - 200.0).abs() < 1e-9);
    }

    #[test]
    fn ends_come_from_what_has_a_place() {
        let log = Axis::new("x").scale(Scale::Log10);
        assert_eq!(log.span([0.0, -1.0, f64::NAN, f64::INFINITY].into_iter(), 0.0), None);
        assert_eq!(log.span([0.0, 1.0, 100.0].into_iter(), 0.0), Some((1.0, 100.0)));
        assert_eq!(Axis::new("y").span([3.0, f64::NAN].into_iter(), 0.1), Some((2.7, 3.3)));
        assert_eq!(Axis::new("y").span([0.1, 5.1].into_iter(), 0.1), Some((0.0, 5.6)));
        assert_eq!(Axis::new("y").scale(Scale::FromZero).span([2.0, 4.0].into_iter(), 0.0), Some((0.0, 4.0)));
        assert_eq!(Axis::new("y").range(1.0, 2.0).span([5.0].into_iter(), 0.1), Some((1.0, 2.0)));
    }

    proptest::proptest! {
        #[test]
        fn ticks_lie_within_the_ends_and_differ(low in -1e6f64..1e6, span in 1e-3f64..1e9, most in 2usize..12, kind in 0usize..4) {
            let scale = [Scale::Linear, Scale::FromZero, Scale::Log2, Scale::Log10][kind];
            let low = if scale.is_logarithmic() { low.abs() + 1e-3 } else { low };
            for unit in [Unit::Plain, Unit::Count, Unit::Binary, Unit::Bytes, Unit::Seconds, Unit::Percent] {
                let placed = Placed::new(&Axis::new("x").scale(scale).unit(unit), (low, low + span), (0.0, 100.0));
                let ticks = placed.ticks(most);
                proptest::prop_assert!((2..=most + 4).contains(&ticks.len()), "{unit:?} {ticks:?}");
                proptest::prop_assert!(ticks.iter().all(|tick| placed.holds(tick.value)), "{ticks:?}");
            }
        }
    }
}
