//! Values that one layer hands to later ones, beside the rows.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

/// Named tensors `[B, rows, width]` of one pass through the stack, which owns them: a layer puts one in, later layers of
/// the same pass read it (for example RWKV-7's values of layer 0). They are no state: a pass over the next positions
/// begins with none.
#[derive(Debug, Clone, Default)]
pub struct Carry {
    values: BTreeMap<&'static str, Tensor<3>>,
}

impl Carry {
    /// The value of that name, if an earlier layer has put one in.
    pub fn get(&self, name: &str) -> Option<&Tensor<3>> {
        self.values.get(name)
    }

    /// Puts a value in, in the place of an earlier one of that name.
    pub fn set(&mut self, name: &'static str, value: Tensor<3>) {
        self.values.insert(name, value);
    }

    /// Every value with its name, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Tensor<3>)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    /// Every value changed.
    pub(crate) fn map(self, change: impl Fn(Tensor<3>) -> Tensor<3>) -> Self {
        Self { values: self.values.into_iter().map(|(name, value)| (name, change(value))).collect() }
    }
}
