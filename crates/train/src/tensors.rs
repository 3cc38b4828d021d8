//! Flat tensors in a safetensors file, written one at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use percept_fault::{Fault, IoContext, Result};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View, serialize_to_file};

/// A tensor on its way into a file; its bytes exist only while they are written.
struct Flat {
    shape: [usize; 1],
    tensor: Tensor<1>,
}

impl View for &Flat {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.tensor.clone().into_data().convert::<f32>();
        Cow::Owned(data.iter::<f32>().flat_map(f32::to_le_bytes).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.shape[0]
    }
}

/// Writes tensors as f32 under their names.
pub(crate) fn save(path: &Path, tensors: impl IntoIterator<Item = (String, Tensor<1>)>) -> Result<()> {
    let tensors: Vec<(String, Flat)> =
        tensors.into_iter().map(|(name, tensor)| (name, Flat { shape: tensor.dims(), tensor })).collect();
    match serialize_to_file(tensors.iter().map(|(name, flat)| (name.as_str(), flat)), None, path) {
        Ok(()) => Ok(()),
        Err(SafeTensorError::IoError(error)) => Err(error).at("write", path),
        Err(error) => Err(Fault::internal(format!("cannot write {}", path.display())).because(error)),
    }
}

/// Reads what [`save`] wrote.
pub(crate) fn load(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor<1>>> {
    let bytes = std::fs::read(path).at("read", path)?;
    let unreadable = |error| Fault::environment(format!("{} is no safetensors file", path.display())).because(error);
    let file = SafeTensors::deserialize(&bytes).map_err(unreadable)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(Fault::environment(format!("{}: `{name}` is no f32 tensor", path.display())));
        }
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let count = values.len();
        tensors.insert(name.to_owned(), Tensor::from_data(TensorData::new(values, [count]), device));
    }
    Ok(tensors)
}
