//! The running state of a sublayer: named tensors of the shapes that it declares.

use std::collections::BTreeMap;

use burn::tensor::{DType, Tensor};

use crate::ops::detached;

/// How a tensor of a state grows with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It does not.
    Fixed,
    /// A row per position, of which the last ones are kept.
    Rows {
        /// Rows kept after the positions that the declaration is for.
        kept: usize,
        /// The most that are ever kept.
        most: usize,
    },
}

/// How exactly keys and values are kept. They are written once and then only read, so that halves of f32s will do; what sums go on from
/// (recurrences, convolutions) is always kept as it was computed.
///
/// ```
/// use percept_model::layer::StateTensor;
/// use percept_model::{KeyValuePrecision, ModelConfig, properties::Properties};
/// let of = |layers: &str, precision: KeyValuePrecision| {
///     let config = ModelConfig { layers: layers.into(), vocab: 257, dim: 64, depth: 2, context: 64, ..Default::default() };
///     Properties::of(&config).map(|properties| properties.state_limit(precision))
/// };
/// let [exact, rounded] = [KeyValuePrecision::F32, KeyValuePrecision::Bf16];
/// assert_eq!(of("llp(segment=8)", exact)?, 2 * of("llp(segment=8)", rounded)?);
/// assert_eq!(of("rwkv7", exact)?, of("rwkv7", rounded)?);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyValuePrecision {
    /// As they were computed.
    #[default]
    F32,
    /// The upper 16 bits of each f32, rounded to nearest, ties to even.
    Bf16,
}

impl KeyValuePrecision {
    /// All of them, the more exact ones first.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// As the user writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// What a tensor of a state holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// What sums go on from.
    Carried,
    /// Keys or values.
    KeyValue,
}

/// The format of a tensor of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// That in which the model computes.
    Full,
    /// bfloat16.
    Half,
}

/// Bytes of an element of a state, in either format.
///
/// ```
/// use percept_model::KeyValuePrecision;
/// use percept_model::layer::{ElementBytes, StateTensor};
/// let keys = StateTensor::key_value("key", (10, 64), [2, 16]);
/// assert_eq!([4.into(), KeyValuePrecision::Bf16.into()].map(|each: ElementBytes| each.of(&keys)), [4, 2]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementBytes {
    full: usize,
    precision: KeyValuePrecision,
}

impl ElementBytes {
    /// Bytes of an element of a tensor.
    pub fn of(self, tensor: &StateTensor) -> usize {
        match tensor.format(self.precision) {
            Format::Full => self.full,
            Format::Half => size_of::<u16>(),
        }
    }
}

/// All elements have so many.
impl From<usize> for ElementBytes {
    fn from(full: usize) -> Self {
        Self { full, precision: KeyValuePrecision::F32 }
    }
}

/// Of a model that computes in f32.
impl From<KeyValuePrecision> for ElementBytes {
    fn from(precision: KeyValuePrecision) -> Self {
        Self { full: size_of::<f32>(), precision }
    }
}

/// A tensor of a state, as declared in [`super::Facts::state`]: `[1, ..shape]` where it is fixed, else
/// `[1, kept, ..shape]`.
///
/// ```
/// use percept_model::layer::StateTensor;
/// // Keys of two heads of 16 channels, of the last 64 positions; ten have been seen.
/// let keys = StateTensor::key_value("key", (10, 64), [2, 16]);
/// assert_eq!((keys.dims(), keys.elements()), (vec![1, 10, 2, 16], 320));
/// assert_eq!(keys.capacity() * keys.width(), 2048);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTensor {
    /// Its name within the sublayer.
    pub name: &'static str,
    /// How it grows.
    pub extent: Extent,
    /// Its shape, without the batch and the rows.
    pub shape: Vec<usize>,
    /// What it holds.
    pub content: Content,
}

impl StateTensor {
    /// A tensor `[1, ..shape]`.
    pub fn fixed(name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        Self { name, extent: Extent::Fixed, shape: shape.into(), content: Content::Carried }
    }

    /// A tensor of the last rows, `[1, kept, ..shape]`.
    pub fn rows(name: &'static str, (kept, most): (usize, usize), shape: impl Into<Vec<usize>>) -> Self {
        Self { name, extent: Extent::Rows { kept, most }, shape: shape.into(), content: Content::Carried }
    }

    /// The same of keys or values, which may be kept as halves: a step that reads them asks [`crate::decoder::Buffer::halves`].
    pub fn key_value(name: &'static str, rows: (usize, usize), shape: impl Into<Vec<usize>>) -> Self {
        Self { content: Content::KeyValue, ..Self::rows(name, rows, shape) }
    }

    /// The format in which it is kept where keys and values are kept with this precision.
    pub fn format(&self, precision: KeyValuePrecision) -> Format {
        match (self.content, precision) {
            (Content::KeyValue, KeyValuePrecision::Bf16) => Format::Half,
            _ => Format::Full,
        }
    }

    /// Elements of a row, or of the whole tensor where it is fixed.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its dimensions.
    pub fn dims(&self) -> Vec<usize> {
        let kept = match self.extent {
            Extent::Fixed => None,
            Extent::Rows { kept, .. } => Some(kept),
        };
        [1].into_iter().chain(kept).chain(self.shape.iter().copied()).collect()
    }

    /// Its elements.
    pub fn elements(&self) -> usize {
        self.dims().iter().product()
    }

    /// The most rows that are kept; 1 where it is fixed.
    pub fn capacity(&self) -> usize {
        match self.extent {
            Extent::Fixed => 1,
            Extent::Rows { most, .. } => most,
        }
    }
}

#[derive(Debug, Clone)]
struct Kept {
    flat: Tensor<1>,
    dims: Vec<usize>,
}

/// The tensors that a sublayer has kept. Cloning is cheap: tensors are shared until written.
#[derive(Debug, Clone, Default)]
pub struct LayerState {
    tensors: BTreeMap<String, Kept>,
    /// Names of those that are kept as halves.
    halves: Vec<&'static str>,
}

impl LayerState {
    /// An empty one, in which keys and values of those that are declared will be kept with this precision; the default keeps all as
    /// they are.
    pub fn new(declared: &[StateTensor], precision: KeyValuePrecision) -> Self {
        let halves = declared.iter().filter(|tensor| tensor.format(precision) == Format::Half);
        Self { tensors: BTreeMap::new(), halves: halves.map(|tensor| tensor.name).collect() }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.tensors.clear();
    }

    /// The tensor of that name, if it is there and has D dimensions; halves as f32.
    pub fn get<const D: usize>(&self, name: &str) -> Option<Tensor<D>> {
        let kept = self.tensors.get(name)?;
        let dims: [usize; D] = kept.dims.as_slice().try_into().ok()?;
        let flat = kept.flat.clone();
        Some(if self.is_half(name) { flat.cast(DType::F32) } else { flat }.reshape(dims))
    }

    fn is_half(&self, name: &str) -> bool {
        self.halves.contains(&name)
    }

    /// Takes the elements of the tensor of that name out, in order and as they are kept.
    pub(crate) fn take(&mut self, name: &str) -> Option<Tensor<1>> {
        self.tensors.remove(name).map(|kept| kept.flat)
    }

    /// The dimensions of the tensor of that name.
    pub fn dims(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|kept| kept.dims.as_slice())
    }

    /// Stores a tensor under a name.
    pub fn set<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
        let dims = tensor.dims().to_vec();
        let size = dims.iter().product::<usize>();
        self.set_flat(name, dims, tensor.reshape([size]));
    }

    /// Stores a tensor by its elements in order, in the format in which it is kept here.
    pub fn set_flat(&mut self, name: &str, dims: Vec<usize>, flat: Tensor<1>) {
        let flat = if self.is_half(name) { flat.cast(DType::BF16) } else { flat };
        self.tensors.insert(name.to_owned(), Kept { flat, dims });
    }

    /// Every tensor in the order of the names: name, dimensions, elements as they are kept.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &Tensor<1>)> {
        self.tensors.iter().map(|(name, kept)| (name.as_str(), kept.dims.as_slice(), &kept.flat))
    }

    /// Bytes that the state holds.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(|kept| kept.flat.shape().num_elements() * kept.flat.dtype().size()).sum()
    }

    /// Rows (dimension 1) of the tensor of that name; 0 where there is none.
    pub fn row_count(&self, name: &str) -> usize {
        self.dims(name).map_or(0, |dims| dims[1])
    }

    /// Appends rows `[1, t, ..]` to those kept under `name`, returns all of them, and keeps the last `keep`. What is returned of new rows
    /// is not rounded, where halves are kept: they are read as they are kept from the next call on.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use percept_model::layer::LayerState;
    /// let rows = |first: f32| Tensor::<3>::from_floats([[[first], [first + 1.0]]], &Default::default());
    /// let mut state = LayerState::default();
    /// // A mixer that looks at the two rows before its own gets them in front of the new ones.
    /// state.push_rows("key", rows(0.0), 2);
    /// let seen = state.push_rows("key", rows(2.0), 2);
    /// assert_eq!(seen.into_data().as_slice::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0]);
    /// assert_eq!(state.get::<3>("key").unwrap().into_data().as_slice::<f32>().unwrap(), [2.0, 3.0]);
    /// ```
    pub fn push_rows<const D: usize>(&mut self, name: &str, rows: Tensor<D>, keep: usize) -> Tensor<D> {
        let all = match self.get::<D>(name) {
            Some(old) => Tensor::cat(vec![old, rows], 1),
            None => rows,
        };
        let have = all.dims()[1];
        let kept = if have <= keep { all.clone() } else { detached(all.clone().narrow(1, have - keep, keep)) };
        self.set(name, kept);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_appended_and_the_last_ones_kept() {
        let device = Default::default();
        let rows = |from: i64, to: i64| Tensor::<1, burn::tensor::Int>::arange(from..to, &device).float();
        let mut state = LayerState::default();
        let all = state.push_rows("key", rows(0, 4).reshape([1, 2, 2]), 3);
        assert_eq!((all.dims(), state.row_count("key")), ([1, 2, 2], 2));
        let all = state.push_rows("key", rows(4, 8).reshape([1, 2, 2]), 3);
        assert_eq!((all.dims(), state.bytes()), ([1, 4, 2], 3 * 2 * 4));
        assert_eq!(crate::ops::elements(state.get::<3>("key").unwrap()), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert!(state.get::<4>("key").is_none() && state.get::<3>("value").is_none());
    }

    #[test]
    fn keys_and_values_are_kept_as_halves_and_nothing_else_is() {
        let device = Default::default();
        let declared = [StateTensor::key_value("key", (2, 8), [1]), StateTensor::rows("row", (2, 8), [1])];
        let mut state = LayerState::new(&declared, KeyValuePrecision::Bf16);
        let rows = || Tensor::<3>::from_floats([[[1.001], [-3.0]]], &device);
        for name in ["key", "row"] {
            assert_eq!(crate::ops::elements(state.push_rows(name, rows(), 8)), [1.001, -3.0]);
        }
        let kept = |state: &LayerState, name| crate::ops::elements(state.get::<3>(name).unwrap());
        assert_eq!((kept(&state, "key"), kept(&state, "row")), (vec![1.0, -3.0], vec![1.001, -3.0]));
        assert_eq!((state.bytes(), state.get::<3>("key").unwrap().dtype()), (2 * 2 + 2 * 4, DType::F32));
        // An emptied one keeps them in the same way.
        state.clear();
        state.push_rows("key", rows(), 8);
        assert_eq!((state.bytes(), kept(&state, "key")), (4, vec![1.0, -3.0]));
        let exact = LayerState::new(&declared, KeyValuePrecision::F32);
        assert!(exact.halves.is_empty());
    }

    #[test]
    fn a_declared_tensor_knows_its_sizes() {
        let keys = StateTensor::rows("key", (3, 8), [2, 5]);
        assert_eq!((keys.dims(), keys.elements(), keys.capacity()), (vec![1, 3, 2, 5], 30, 8));
        let fixed = StateTensor::fixed("sum", [7]);
        assert_eq!((fixed.dims(), fixed.elements(), fixed.capacity(), fixed.width()), (vec![1, 7], 7, 1, 7));
    }
}
