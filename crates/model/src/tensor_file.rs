//! Files of tensors: the one place that knows safetensors.
//!
//! Every file of ours with tensors in it (weights, states, moments) is written and read here, and so are those of others.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use half::bf16;
use percept_fault::{Fault, IoContext, Result};
use safetensors::tensor::{SafeTensorError, SafeTensors, TensorView, View};

pub use safetensors::Dtype;

/// A tensor on its way into a file; its bytes exist only while they are written.
#[derive(Debug, Clone)]
pub struct Entry {
    name: String,
    shape: Vec<usize>,
    elements: Elements,
}

/// The elements of an [`Entry`], in order.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a few of them, for as long as a file is written")]
pub enum Elements {
    /// Written as f64 or bf16 where the tensor is, else as f32.
    Tensor(Tensor<1>),
    /// Written as f32.
    Floats(Vec<f32>),
    /// Written as u32.
    Tokens(Vec<u32>),
}

impl Entry {
    /// A tensor under a name; the shape's product is the number of elements.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, elements: Elements) -> Self {
        Self { name: name.into(), shape: shape.into(), elements }
    }
}

impl View for &Entry {
    fn dtype(&self) -> Dtype {
        match &self.elements {
            Elements::Tensor(tensor) if tensor.dtype() == DType::F64 => Dtype::F64,
            Elements::Tensor(tensor) if tensor.dtype() == DType::BF16 => Dtype::BF16,
            Elements::Tensor(_) | Elements::Floats(_) => Dtype::F32,
            Elements::Tokens(_) => Dtype::U32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match &self.elements {
            Elements::Tensor(tensor) if tensor.dtype() == DType::F64 => {
                tensor.clone().into_data().iter::<f64>().flat_map(f64::to_le_bytes).collect()
            }
            Elements::Tensor(tensor) if tensor.dtype() == DType::BF16 => {
                tensor.clone().into_data().iter::<bf16>().flat_map(bf16::to_le_bytes).collect()
            }
            Elements::Tensor(tensor) => tensor.clone().into_data().iter::<f32>().flat_map(f32::to_le_bytes).collect(),
            Elements::Floats(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Elements::Tokens(tokens) => tokens.iter().flat_map(|token| token.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype().bitsize() / 8
    }
}

/// What stands in a file beside its tensors.
pub type Metadata = HashMap<String, String>;

fn views(entries: &[Entry]) -> impl Iterator<Item = (&str, &Entry)> {
    entries.iter().map(|entry| (entry.name.as_str(), entry))
}

/// Writes tensors one at a time; the file is replaced as a whole, or stays as it is.
///
/// ```
/// use percept_model::tensor_file::{Elements, Entry, TensorFile, write};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("a.safetensors");
/// write(&path, &[Entry::new("pair", [2], Elements::Floats(vec![1.5, -2.0]))], None)?;
/// let bytes = std::fs::read(&path).unwrap();
/// let file = TensorFile::parse(&bytes).unwrap();
/// assert_eq!(file.get("pair").unwrap().f32s(), Some(vec![1.5, -2.0]));
/// # Ok(()) }
/// ```
///
/// # Errors
/// Environment: the disk; internal: shapes that do not fit their elements.
pub fn write(path: &Path, entries: &[Entry], metadata: Option<Metadata>) -> Result<()> {
    percept_files::replace_file(path, |temporary| {
        match safetensors::serialize_to_file(views(entries), metadata, temporary) {
            Ok(()) => Ok(()),
            Err(SafeTensorError::IoError(error)) => Err(error).at("write", path),
            Err(error) => Err(Fault::internal(format!("cannot write {}", path.display())).because(error)),
        }
    })
}

/// Reads a file of flat f32 tensors, such as an optimizer's moments.
///
/// # Errors
/// Environment: the file can't be read, is damaged, or holds something else.
pub fn read_flat(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor<1>>> {
    let bytes = std::fs::read(path).at("read", path)?;
    let unreadable = |error| Fault::environment(format!("{} is no safetensors file", path.display())).because(error);
    let file = TensorFile::parse(&bytes).map_err(unreadable)?;
    let tensor = |(name, stored): (String, Stored<'_>)| match stored.f32s() {
        Some(values) => {
            let size = values.len();
            Ok((name, Tensor::from_data(TensorData::new(values, [size]), device)))
        }
        None => Err(Fault::environment(format!("{}: `{name}` is no f32 tensor", path.display()))),
    };
    file.all().into_iter().map(tensor).collect()
}

/// The bytes that [`write()`] puts into a file.
///
/// # Errors
/// Internal: shapes that do not fit their elements.
pub fn to_bytes(entries: &[Entry], metadata: Option<Metadata>) -> Result<Vec<u8>> {
    safetensors::serialize(views(entries), metadata)
        .map_err(|error| Fault::internal("tensors can't be serialised").because(error))
}

/// The tensors of a file whose bytes are in memory, or mapped into it. Lengths and shapes are checked as a whole: no tensor
/// reaches beyond the file.
#[derive(Debug)]
pub struct TensorFile<'a> {
    metadata: Metadata,
    tensors: SafeTensors<'a>,
}

impl<'a> TensorFile<'a> {
    /// # Errors
    /// What is wrong with the bytes.
    pub fn parse(bytes: &'a [u8]) -> std::result::Result<Self, SafeTensorError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { metadata, tensors: SafeTensors::deserialize(bytes)? })
    }

    /// What stands beside the tensors.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// A tensor by its name.
    pub fn get(&self, name: &str) -> Option<Stored<'_>> {
        self.tensors.tensor(name).ok().map(Stored)
    }

    /// All tensors by their names.
    pub fn all(&self) -> BTreeMap<String, Stored<'_>> {
        self.tensors.tensors().into_iter().map(|(name, view)| (name, Stored(view))).collect()
    }
}

/// The head of a file: what it says of its tensors, which need not be there.
#[derive(Debug)]
pub(crate) struct Head {
    /// What stands beside the tensors.
    pub(crate) metadata: Metadata,
    /// Type and shape of each.
    pub(crate) tensors: BTreeMap<String, (Dtype, Vec<usize>)>,
}

impl Head {
    /// Bytes in front of the head that tell its length.
    pub(crate) const LENGTH: usize = 8;

    /// Reads it; `head` begins after its length. Whether tensors lie where they should is seen when they are there.
    pub(crate) fn parse(head: &[u8]) -> serde_json::Result<Self> {
        let header: safetensors::tensor::Metadata = serde_json::from_slice(head)?;
        let tensors = header.tensors().into_iter().map(|(name, info)| (name, (info.dtype, info.shape.clone())));
        Ok(Self { metadata: header.metadata().clone().unwrap_or_default(), tensors: tensors.collect() })
    }
}

/// A tensor in a file.
#[derive(Debug)]
pub struct Stored<'a>(TensorView<'a>);

impl Stored<'_> {
    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.0.dtype()
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// Bytes that it takes in the file.
    pub fn bytes(&self) -> usize {
        self.0.data().len()
    }

    /// The elements of a tensor of f32; `None` for any other.
    pub fn f32s(&self) -> Option<Vec<f32>> {
        (self.dtype() == Dtype::F32).then(|| elements(self.0.data(), f32::from_le_bytes))
    }

    /// The elements of a tensor of f64; `None` for any other.
    pub fn f64s(&self) -> Option<Vec<f64>> {
        (self.dtype() == Dtype::F64).then(|| elements(self.0.data(), f64::from_le_bytes))
    }

    /// The elements of a tensor of bf16; `None` for any other.
    pub fn bf16s(&self) -> Option<Vec<bf16>> {
        (self.dtype() == Dtype::BF16).then(|| elements(self.0.data(), bf16::from_le_bytes))
    }

    /// The elements of a tensor of any floating-point type, as f32; `None` for any other.
    pub fn floats(&self) -> Option<Vec<f32>> {
        let data = self.0.data();
        match self.dtype() {
            Dtype::F32 => self.f32s(),
            Dtype::F64 => Some(elements(data, |bytes| f64::from_le_bytes(bytes) as f32)),
            Dtype::F16 => Some(elements(data, |bytes| half::f16::from_le_bytes(bytes).to_f32())),
            Dtype::BF16 => Some(elements(data, |bytes| bf16::from_le_bytes(bytes).to_f32())),
            _ => None,
        }
    }

    /// The elements of a tensor of u32, or of i64 where each is a token; `None` for any other.
    pub fn tokens(&self) -> Option<Vec<u32>> {
        match self.dtype() {
            Dtype::U32 => Some(elements(self.0.data(), u32::from_le_bytes)),
            Dtype::I64 => {
                elements(self.0.data(), i64::from_le_bytes).into_iter().map(|id| id.try_into().ok()).collect()
            }
            _ => None,
        }
    }
}

/// Little-endian elements of `N` bytes each.
pub(crate) fn elements<T, const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&bytes| element(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_elements_comes_back_in_its_type() {
        let device = Default::default();
        let double = Tensor::<1>::from_data([0.1f64, 2.0], (&device, DType::F64));
        let entries = [
            Entry::new("double", [2, 1], Elements::Tensor(double)),
            Entry::new("single", [2], Elements::Tensor(Tensor::from_data([0.5f32, -1.0], &device))),
            Entry::new("half", [1], Elements::Tensor(Tensor::<1>::from_data([1.001f32], &device).cast(DType::BF16))),
            Entry::new("values", [1], Elements::Floats(vec![3.25])),
            Entry::new("tokens", [3], Elements::Tokens(vec![0, 7, u32::MAX])),
        ];
        let metadata = Metadata::from([("what".to_owned(), "a test".to_owned())]);
        let bytes = to_bytes(&entries, Some(metadata.clone())).unwrap();
        let file = TensorFile::parse(&bytes).unwrap();
        assert_eq!((file.metadata(), file.all().len()), (&metadata, 5));
        let get = |name| file.get(name).unwrap();
        assert_eq!((get("double").f64s(), get("double").shape()), (Some(vec![0.1, 2.0]), &[2, 1][..]));
        assert_eq!((get("double").f32s(), get("double").floats()), (None, Some(vec![0.1, 2.0])));
        assert_eq!((get("half").bf16s(), get("half").bytes()), (Some(vec![bf16::ONE]), 2));
        assert_eq!((get("half").f32s(), get("single").bf16s()), (None, None));
        assert_eq!((get("single").f32s(), get("values").f32s()), (Some(vec![0.5, -1.0]), Some(vec![3.25])));
        assert_eq!((get("tokens").tokens(), get("single").tokens()), (Some(vec![0, 7, u32::MAX]), None));
        assert!(file.get("other").is_none() && TensorFile::parse(&bytes[..bytes.len() - 1]).is_err());
    }
}
