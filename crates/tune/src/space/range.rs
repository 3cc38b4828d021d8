//! The values that a list of choices or a range stands for.

use percept_fault::{Fault, Result};
use serde::Deserialize;
use toml::{Table, Value};

/// Most values of one axis.
const MOST: usize = 1000;

/// How the values of a key are written.
const FORMS: &str =
    "a key takes a list of choices, { integers = [first, last], step = 1 }, or { log = [first, last], points = 5 }";

/// A table that stands for values, and is no table of the configuration.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Range {
    Integers { integers: [i64; 2], step: Option<i64> },
    Log { log: [Value; 2], points: usize },
}

/// Whether a table is a range rather than one of the configuration.
pub(super) fn is_range(table: &Table) -> bool {
    table.contains_key("integers") || table.contains_key("log")
}

/// The values of `key` as they are written in a file.
pub(super) fn values(key: &str, written: &Value) -> Result<Vec<Value>> {
    let values = match written {
        Value::Array(choices) => Ok(choices.clone()),
        Value::Table(_) => match written.clone().try_into() {
            Ok(Range::Integers { integers, step }) => self::integers(integers, step.unwrap_or(1)),
            Ok(Range::Log { log: [first, last], points }) => log_range(&first, &last, points),
            Err(_) => Err("this is no range".to_owned()),
        },
        value => Err(format!("{value} is one value")),
    };
    values.map_err(|what| Fault::usage(format!("`{key}`: {what}")).hint(FORMS))
}

/// first, first + step, ... up to last.
fn integers([first, last]: [i64; 2], step: i64) -> Result<Vec<Value>, String> {
    if first > last || step < 1 {
        return Err(format!("integers from {first} to {last} by steps of {step} are none"));
    }
    let step = usize::try_from(step).map_err(|error| error.to_string())?;
    let values: Vec<Value> = (first..=last).step_by(step).take(MOST + 1).map(Value::from).collect();
    if values.len() > MOST { Err(format!("more than {MOST} values")) } else { Ok(values) }
}

/// `points` values from first to last, each the same multiple of the one before it: rounded to integers between integers, to four
/// digits otherwise, so that they read well.
fn log_range(first: &Value, last: &Value, points: usize) -> Result<Vec<Value>, String> {
    let number = |value: &Value| {
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        number.filter(|number| number.is_finite() && *number > 0.0)
    };
    let (Some(low), Some(high)) = (number(first), number(last)) else {
        return Err(format!("log from {first} to {last}: both ends must be numbers above 0"));
    };
    if low >= high || !(2..=MOST).contains(&points) {
        return Err(format!("log from {first} to {last} needs a rising range, and 2 to {MOST} points"));
    }
    let exact = |index: usize| match index {
        0 => low,
        _ if index == points - 1 => high,
        _ => low * (high / low).powf(index as f64 / (points - 1) as f64),
    };
    let digits = |number: f64| format!("{number:.3e}").parse().unwrap_or(number);
    let inner = |index: usize| index > 0 && index < points - 1;
    let value = |index: usize| match first.is_integer() && last.is_integer() {
        true => Value::from(exact(index).round() as i64),
        false if inner(index) => Value::from(digits(exact(index))),
        false => Value::from(exact(index)),
    };
    Ok((0..points).map(value).collect())
}
