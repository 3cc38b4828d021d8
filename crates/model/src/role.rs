//! What a trainer does with a tensor of a model.

/// What happens to a tensor of a model in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The optimizer trains it, with weight decay.
    Decayed,
    /// The optimizer trains it, without weight decay: norms, biases, tables of vectors.
    Undecayed,
    /// A buffer, e.g. a running mean: the model sets it itself ([`crate::Learned::buffers`]). It is saved with the weights, and a
    /// moving average of the weights takes it as it is. Made with `set_require_grad(false)`, so that it has no gradient.
    Buffer,
}

impl Role {
    /// Decay is for matrices.
    pub fn by_shape(shape: &[usize]) -> Self {
        if shape.len() >= 2 { Self::Decayed } else { Self::Undecayed }
    }
}

/// How the optimizer trains a tensor.
///
/// ```
/// use percept_model::{Role, Training};
/// // A vector that learns three times as fast as the rest.
/// let bonus = Training { rate: 3.0, ..Training::of(Role::by_shape(&[64])) };
/// assert_eq!((bonus.role, bonus.epsilon), (Role::Undecayed, None));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// What happens to it.
    pub role: Role,
    /// What the learning rate is multiplied by.
    pub rate: f64,
    /// What is added to the root of its second moment; `None`: the optimizer's own number.
    pub epsilon: Option<f64>,
}

impl Training {
    /// As all others of this role.
    pub fn of(role: Role) -> Self {
        Self { role, rate: 1.0, epsilon: None }
    }
}
