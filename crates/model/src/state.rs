//! The running state of one layer.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

/// The numbers of a tensor of f32 in order.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.as_slice::<f32>().map_or_else(|_| data.iter::<f32>().collect(), <[f32]>::to_vec)
}

/// Named tensors `[1, T, heads, channels]`. Cloning is cheap: tensors are shared until written.
#[derive(Debug, Clone, Default)]
pub struct MixerState {
    tensors: BTreeMap<String, Tensor<4>>,
}

impl MixerState {
    /// True before anything was seen.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.tensors.clear();
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor<4>> {
        self.tensors.get(name)
    }

    /// Stores a tensor under a name.
    pub fn set(&mut self, name: &str, tensor: Tensor<4>) {
        self.tensors.insert(name.to_string(), tensor);
    }

    /// Every tensor with its name, in a fixed order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor<4>)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Bytes that the state holds.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.shape().num_elements() * tensor.dtype().size()).sum()
    }

    /// Appends rows to the keys and values kept under `"key"` and `"value"`, and returns all of them.
    pub fn append(&mut self, keys: Tensor<4>, values: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let join = |old: Option<Tensor<4>>, new: Tensor<4>| match old {
            Some(old) => Tensor::cat(vec![old, new], 1),
            None => new,
        };
        let keys = join(self.tensors.remove("key"), keys);
        let values = join(self.tensors.remove("value"), values);
        self.set("key", keys.clone());
        self.set("value", values.clone());
        (keys, values)
    }

    /// Rows kept under `"key"`.
    pub fn key_rows(&self) -> usize {
        self.get("key").map_or(0, |keys| keys.dims()[1])
    }

    /// Drops all but the last `rows` keys and values, and frees what they held.
    pub fn keep_last(&mut self, rows: usize) {
        let have = self.key_rows();
        if have <= rows {
            return;
        }
        for name in ["key", "value"] {
            if let Some(tensor) = self.tensors.remove(name) {
                let kept = tensor.narrow(1, have - rows, rows);
                let (device, dtype) = (kept.device(), kept.dtype());
                // A narrowed tensor would keep the whole buffer alive.
                self.set(name, Tensor::from_data(kept.into_data(), (&device, dtype)));
            }
        }
    }
}
