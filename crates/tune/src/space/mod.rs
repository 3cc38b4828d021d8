//! What is searched: axes, each a finite list of values of one configuration key.

mod file;
mod range;

use std::path::Path;

use percept_fault::{Fault, Result};
use toml::Value;

/// A configuration of a space: for each axis, the index of its value.
pub type Point = Vec<usize>;

/// Whether neighbours on an axis are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Numbers that rise: neighbours are alike.
    Rising,
    /// Names: no value is nearer than another.
    Unordered,
}

/// The values of one configuration key.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    key: String,
    values: Vec<Value>,
}

impl Axis {
    /// The values of `key`, for example `train.learning_rate`.
    ///
    /// # Errors
    /// Usage: no values, one of them twice, or a number that is not finite.
    pub fn new(key: impl Into<String>, values: Vec<Value>) -> Result<Self> {
        let key = key.into();
        if values.is_empty() {
            return Err(Fault::usage(format!("`{key}` has no values")).hint("list at least one"));
        }
        for (index, value) in values.iter().enumerate() {
            if value.as_float().is_some_and(|number| !number.is_finite()) {
                return Err(Fault::usage(format!("`{key}`: {value} is no number")).hint("list finite numbers"));
            }
            if values[..index].contains(value) {
                return Err(Fault::usage(format!("`{key}` has the value {value} twice"))
                    .hint("list each value once; a range has fewer points"));
            }
        }
        Ok(Self { key, values })
    }

    /// The configuration key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its values, at least one.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// How many values there are.
    pub fn choices(&self) -> usize {
        self.values.len()
    }

    /// Rising where all values are numbers, each above the one before it.
    pub fn order(&self) -> Order {
        let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        let numbers: Option<Vec<f64>> = self.values.iter().map(number).collect();
        match numbers {
            Some(numbers) if numbers.is_sorted() => Order::Rising,
            _ => Order::Unordered,
        }
    }
}

/// A search space over configuration keys: the product of its axes, in the order of their keys.
///
/// A file gives a key a list of choices, or a range:
///
/// ```
/// use percept_tune::{Order, Space};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("llp.toml");
/// std::fs::write(&path, r#"
/// [space]
/// model.layers = ["llp", "llp*3, transformer"]
/// model.depth = { integers = [2, 6], step = 2 }
/// model.dim = { log = [32, 128], points = 3 }
/// train.learning_rate = { log = [1e-4, 1e-2], points = 5 }
/// "#).unwrap();
/// let space = Space::read(&path)?;
/// assert_eq!(space.size(), 3 * 3 * 2 * 5);
/// let values = |key: &str| {
///     let axis = space.axes().iter().find(|axis| axis.key() == key).unwrap();
///     axis.values().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
/// };
/// assert_eq!((values("model.depth"), values("model.dim")), ("2 4 6".into(), "32 64 128".into()));
/// assert_eq!(values("train.learning_rate"), "0.0001 0.0003162 0.001 0.003162 0.01");
/// // Numbers that rise are ordered, names are not.
/// assert_eq!(space.axes()[2].key(), "model.layers");
/// assert_eq!((space.axes()[2].order(), space.axes()[3].order()), (Order::Unordered, Order::Rising));
///
/// // A mistake is named with its line.
/// std::fs::write(&path, "[space]\ntrain.learning_rat = [0.1, 0.2]\n").unwrap();
/// let fault = Space::read(&path).unwrap_err();
/// assert!(fault.to_string().contains("llp.toml:2"), "{fault}");
/// assert_eq!(fault.hint_text(), Some("did you mean `space.train.learning_rate`?"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    axes: Vec<Axis>,
    size: usize,
}

impl Space {
    /// A space of these axes.
    ///
    /// # Errors
    /// Usage: no axes, two of one key, or more points than a machine word counts.
    pub fn new(axes: Vec<Axis>) -> Result<Self> {
        if axes.is_empty() {
            return Err(Fault::usage("the space has no axes")
                .hint("give a key some values: [space] with train.learning_rate = [1e-3, 3e-3]"));
        }
        for (index, axis) in axes.iter().enumerate() {
            if axes[..index].iter().any(|other| other.key == axis.key) {
                return Err(Fault::usage(format!("two axes of `{}`", axis.key)).hint("give each key one axis"));
            }
        }
        let size = axes.iter().try_fold(1_usize, |size, axis| size.checked_mul(axis.choices()));
        let size = size.ok_or_else(|| Fault::usage("the space has too many points").hint("take fewer axes"))?;
        Ok(Self { axes, size })
    }

    /// Reads the table `[space]` of a file.
    ///
    /// # Errors
    /// Environment: the file cannot be read. Usage: it is no TOML, or a key or value is wrong; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        file::read(path)
    }

    /// The space of a table `[space]` in a file of another kind; `place` says where a key such as `space.model.dim` stands, as
    /// messages begin.
    ///
    /// # Errors
    /// Usage: a key or value is wrong, or there are none.
    pub fn of_table(table: &toml::Table, place: &dyn Fn(&str) -> String) -> Result<Self> {
        file::of_table(table, place)
    }

    /// Writes a file that [`Space::read`] reads: each key with a list of its values.
    ///
    /// # Errors
    /// Environment: the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(self, path)
    }

    /// The axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// How many points there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Point number `index`, below the size; the last axis changes fastest.
    ///
    /// ```
    /// use percept_tune::{Axis, Space};
    /// let axis = |key: &str, values: &[i64]| Axis::new(key, values.iter().map(|value| (*value).into()).collect());
    /// let space = Space::new(vec![axis("model.depth", &[2, 4])?, axis("model.dim", &[32, 64, 96])?])?;
    /// assert_eq!((space.point(4), space.index(&[1, 1])), (vec![1, 1], 4));
    /// let changes: Vec<String> = space.values(&[1, 2]).map(|(key, value)| format!("{key}={value}")).collect();
    /// assert_eq!(changes, ["model.depth=4", "model.dim=96"]);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn point(&self, index: usize) -> Point {
        let mut rest = index;
        let mut point = vec![0; self.axes.len()];
        for (choice, axis) in point.iter_mut().zip(&self.axes).rev() {
            *choice = rest % axis.choices();
            rest /= axis.choices();
        }
        point
    }

    /// The number of a point: the other way of [`Space::point`].
    pub fn index(&self, point: &[usize]) -> usize {
        point.iter().zip(&self.axes).fold(0, |index, (choice, axis)| index * axis.choices() + choice)
    }

    /// Each key with its value at a point of this space.
    pub fn values<'a>(&'a self, point: &'a [usize]) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.axes.iter().zip(point).map(|(axis, choice)| (axis.key(), &axis.values[*choice]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_points_are_one_to_one() {
        let axis = |key: &str, choices: i64| Axis::new(key, (0..choices).map(Value::from).collect()).unwrap();
        let space = Space::new(vec![axis("a", 2), axis("b", 1), axis("c", 5), axis("d", 3)]).unwrap();
        assert_eq!(space.size(), 30);
        for index in 0..space.size() {
            let point = space.point(index);
            assert!(point.iter().zip(space.axes()).all(|(choice, axis)| *choice < axis.choices()));
            assert_eq!(space.index(&point), index);
        }
        assert_eq!((space.point(0), space.point(29)), (vec![0, 0, 0, 0], vec![1, 0, 4, 2]));
    }

    #[test]
    fn only_rising_numbers_are_ordered() {
        let order = |values: &[Value]| Axis::new("a", values.to_vec()).unwrap().order();
        assert_eq!(order(&[1.into(), 2.5.into(), 4.into()]), Order::Rising);
        assert_eq!(order(&[4.into(), 2.into()]), Order::Unordered);
        assert_eq!(order(&[1.into(), "2".into()]), Order::Unordered);
        assert_eq!(order(&[true.into(), false.into()]), Order::Unordered);
    }

    #[test]
    fn what_is_no_space_is_refused() {
        let refused = |values: &[Value]| Axis::new("model.dim", values.to_vec()).unwrap_err().to_string();
        assert_eq!(refused(&[]), "`model.dim` has no values");
        assert_eq!(refused(&[8.into(), 16.into(), 8.into()]), "`model.dim` has the value 8 twice");
        assert_eq!(refused(&[f64::NAN.into()]), "`model.dim`: nan is no number");
        assert_eq!(Space::new(Vec::new()).unwrap_err().to_string(), "the space has no axes");
        let axis = |key: &str, choices: i64| Axis::new(key, (0..choices).map(Value::from).collect()).unwrap();
        assert_eq!(Space::new(vec![axis("a", 1), axis("a", 2)]).unwrap_err().to_string(), "two axes of `a`");
        let many = (0..8).map(|index| axis(&format!("a{index}"), 1000)).collect();
        assert_eq!(Space::new(many).unwrap_err().to_string(), "the space has too many points");
    }
}
