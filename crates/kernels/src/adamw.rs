//! AdamW (arXiv 1711.05101).

/// One step's constants of AdamW for one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the corrected second moment.
    pub eps: f64,
    /// Decoupled decay: the parameter first shrinks by `lr * weight_decay`.
    pub weight_decay: f64,
    /// `1 - beta1^t`, where t counts steps from 1.
    pub correction1: f64,
    /// `1 - beta2^t`.
    pub correction2: f64,
    /// Factor of the gradient, for clipping by the global norm and for averaging.
    pub grad_scale: f64,
}

impl AdamW {
    /// Sets both bias corrections for step `t`, counted from 1.
    pub fn at_step(mut self, t: u64) -> Self {
        self.correction1 = 1.0 - self.beta1.powf(t as f64);
        self.correction2 = 1.0 - self.beta2.powf(t as f64);
        self
    }
}
