//! Loss and gradients of a batch of the language model, with or without recomputation of the blocks.

use burn::tensor::{Device, Gradients as Graph, Tensor};
use percept_fault::{Fault, Result};

use crate::batch::Batch;
use crate::config::{LayerSpec, ModelConfig};
use crate::gradients::{Gradients, Recompute};
use crate::language_model::{LanguageModel, number};
use crate::layer::{BlockContext, Carry, Mode, Rows};
use crate::parameters::Tensors;
use crate::role::{Role, Training};
use crate::trainable::{BatchSize, Learned, Trainable};

/// The loss is the NLL of the batch's targets on the scorable rows; the z-loss is in the gradients only.
impl Trainable for LanguageModel {
    type Batch = Batch;
    type Config = ModelConfig;

    fn fresh(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::new(config, seed, device)
    }

    fn blank(config: &ModelConfig, device: &Device) -> Result<Self> {
        Self::zeros(config, device)
    }

    fn config(&self) -> &ModelConfig {
        self.config()
    }

    fn size(&self, batch: &Batch) -> BatchSize {
        let latents = self.window_rows(batch.length).latents;
        BatchSize { inputs: batch.tokens.len(), targets: batch.scored(latents) }
    }

    fn loss_and_gradients(&self, batch: &Batch, mode: Mode, recompute: Recompute, scale: f32) -> Result<Learned> {
        batch.validate(self.config().vocab)?;
        if !self.device().is_autodiff() {
            return Err(Fault::internal("gradients need a model on an autodiff device"));
        }
        let targets = batch.last_targets(self.window_rows(batch.length).latents);
        let top = |x: Tensor<3>, rows: Rows| {
            let latents = if rows.history == 0 { x } else { x.narrow(1, rows.history, rows.latents) };
            self.loss_of(latents, &targets)
        };
        let pass = Backward { layers: self.layers().len(), tokens: &batch.tokens, windows: batch.rows, mode, scale };
        let (loss, gradients) = self.backward(pass, recompute, top);
        Ok(Learned { loss, gradients, buffers: Tensors::new() })
    }

    fn role(&self, path: &str, shape: &[usize]) -> Role {
        self.training(path, shape).role
    }

    /// What the sublayer that holds a tensor says. The embedding is a table of vectors: no decay.
    fn training(&self, path: &str, shape: &[usize]) -> Training {
        match LayerSpec::holding(self.layers(), path) {
            Some((_, contract, path)) => (contract.training)(self.config(), path, shape),
            None if path.starts_with("embedding.") => Training::of(Role::Undecayed),
            None => Training::of(Role::by_shape(shape)),
        }
    }
}

impl LanguageModel {
    /// Loss and gradients of windows whose tokens go through the first layers; `top` takes the rows that leave those and says what they
    /// are to the loss: as a number, and as a tensor whose gradient may hold more.
    pub(crate) fn backward(
        &self,
        pass: Backward<'_>,
        recompute: Recompute,
        top: impl FnOnce(Tensor<3>, Rows) -> (f64, Tensor<1>),
    ) -> (f64, Gradients) {
        match recompute {
            Recompute::Keep => self.backward_at_once(pass, top),
            Recompute::Blocks => self.backward_by_block(pass, top),
        }
    }

    fn backward_at_once(
        &self,
        pass: Backward<'_>,
        top: impl FnOnce(Tensor<3>, Rows) -> (f64, Tensor<1>),
    ) -> (f64, Gradients) {
        let (x, rows) = (self.embed(pass.tokens, pass.windows), self.window_rows(pass.tokens.len() / pass.windows));
        let (x, rows) = self.run_first(pass.layers, x, (None, rows), pass.mode, &mut || {});
        let (nll, loss) = top(x, rows);
        let mut gradients = Gradients::default();
        gradients.collect(self, "", &mut (loss * pass.scale).backward());
        (nll, gradients)
    }

    /// `x`: `[B, l, d]` before the last norm. The NLL as a number, and as a tensor whose gradient includes the z-loss.
    fn loss_of(&self, x: Tensor<3>, targets: &[u32]) -> (f64, Tensor<1>) {
        let loss = self.head_loss(self.norm.forward(x), targets, self.config().z_loss);
        (number(loss.clone().inner()), loss)
    }

    /// Walks back block by block: each runs again from its kept input x, and (y * dy).sum() takes the gradient dy of its
    /// output through it; so do the gradients of what it found in the carry, which add up over the layers that read it.
    fn backward_by_block(
        &self,
        pass: Backward<'_>,
        top: impl FnOnce(Tensor<3>, Rows) -> (f64, Tensor<1>),
    ) -> (f64, Gradients) {
        let (embedded, rows) =
            (self.embed(pass.tokens, pass.windows), self.window_rows(pass.tokens.len() / pass.windows));
        let (inputs, last, last_rows) = self.layer_inputs(embedded.clone().inner(), rows, &pass);
        let mut gradients = Gradients::default();
        let leaf = Tensor::<3>::from_inner(last).require_grad();
        let (nll, loss) = top(leaf.clone(), last_rows);
        let mut graph = (loss * pass.scale).backward();
        let mut upstream = Upstream { rows: leaf.grad_remove(&mut graph), carry: Carry::default() };
        gradients.collect(self, "", &mut graph);
        for (layer, input) in self.layers().iter().zip(inputs).rev() {
            upstream = self.backward_of_layer(layer.index, input, upstream, &mut gradients);
        }
        if let Some(dx) = upstream.rows {
            let mut graph = (embedded * Tensor::from_inner(dx)).sum().backward();
            gradients.collect(&self.embedding, "embedding", &mut graph);
        }
        (nll, gradients)
    }

    /// What enters each of the first layers, and what leaves the last of them with its rows; without autodiff.
    fn layer_inputs(
        &self,
        mut x: Tensor<3>,
        mut rows: Rows,
        pass: &Backward<'_>,
    ) -> (Vec<BlockInput>, Tensor<3>, Rows) {
        let inference = self.for_inference();
        let (mut inputs, mut carry) = (Vec::with_capacity(pass.layers), Carry::default());
        for layer in &self.layers()[..pass.layers] {
            let (context, after) = layer.context(self.config(), rows, pass.mode);
            inputs.push(BlockInput { x: x.clone(), carry: carry.clone(), context });
            x = inference.blocks[layer.index].forward(x, None, &mut carry, &context);
            rows = after;
        }
        (inputs, x, rows)
    }

    /// The gradients of the weights of a layer's block are added to `gradients`, those of its input returned.
    fn backward_of_layer(
        &self,
        block: usize,
        input: BlockInput,
        upstream: Upstream,
        gradients: &mut Gradients,
    ) -> Upstream {
        let (path, block) = (format!("blocks.{block}"), &self.blocks[block]);
        let forward = |x: Tensor<3>, carry: &mut Carry| block.forward(x, None, carry, &input.context);
        let Some((below, mut graph)) = backward_through((input.x, input.carry), upstream, forward) else {
            return Upstream::default();
        };
        gradients.collect(block, &path, &mut graph);
        below
    }
}

/// A pass back through the first layers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backward<'a> {
    /// How many.
    pub(crate) layers: usize,
    /// `[windows * length]`.
    pub(crate) tokens: &'a [u32],
    /// Number of windows.
    pub(crate) windows: usize,
    /// Training or not.
    pub(crate) mode: Mode,
    /// What the loss is multiplied by before its gradient is taken.
    pub(crate) scale: f32,
}

/// What enters a block.
struct BlockInput {
    x: Tensor<3>,
    carry: Carry,
    context: BlockContext,
}

/// Gradients of the loss with respect to what leaves a block.
#[derive(Default)]
struct Upstream {
    rows: Option<Tensor<3>>,
    carry: Carry,
}

/// Runs `forward` again on what entered a block (without autodiff), and takes the gradients of what left it through it: those
/// of the rows, and those of every value in the carry, which reach the layer that put it in through all that read it.
fn backward_through(
    (x, carry): (Tensor<3>, Carry),
    upstream: Upstream,
    forward: impl FnOnce(Tensor<3>, &mut Carry) -> Tensor<3>,
) -> Option<(Upstream, Graph)> {
    let leaf = Tensor::<3>::from_inner(x).require_grad();
    let entered = carry.map(|value| Tensor::from_inner(value).require_grad());
    let mut left = entered.clone();
    let y = forward(leaf.clone(), &mut left);
    let carried = left.iter().filter_map(|(name, value)| Some((value.clone(), upstream.carry.get(name)?.clone())));
    let pairs = upstream.rows.map(|dy| (y, dy)).into_iter().chain(carried);
    let sum = pairs.map(|(y, dy)| (y * Tensor::from_inner(dy)).sum()).reduce(|a, b| a + b)?;
    let mut graph = sum.backward();
    let mut below = Upstream { rows: leaf.grad_remove(&mut graph), carry: Carry::default() };
    for (name, value) in entered.iter() {
        if let Some(gradient) = value.grad_remove(&mut graph) {
            below.carry.set(name, gradient);
        }
    }
    Some((below, graph))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Layer 0 puts a value in, layer 1 only passes it, layers 2 and 3 read it.
    fn layer(index: usize, x: Tensor<3>, carry: &mut Carry) -> Tensor<3> {
        match index {
            0 => {
                carry.set("value", x.clone() * x.clone());
                x * 2.0
            }
            1 => x.clone() * x,
            _ => match carry.get("value") {
                Some(value) => x.clone() * value.clone() + x,
                None => x,
            },
        }
    }

    #[test]
    fn gradients_of_carried_values_add_up_over_the_layers_that_read_them() {
        let device = Device::default().autodiff();
        let x = Tensor::<3>::from_data([[[0.5f32, -1.5], [2.0, 0.25]]], &device).require_grad();
        let at_once =
            (0..4).fold((x.clone(), Carry::default()), |(x, mut carry), index| (layer(index, x, &mut carry), carry));
        let expected = x.grad(&at_once.0.sum().backward()).expect("a gradient");

        let (mut inputs, mut now, mut carry) = (Vec::new(), x.clone().inner(), Carry::default());
        for index in 0..4 {
            inputs.push((now.clone(), carry.clone()));
            now = layer(index, now, &mut carry);
        }
        let mut upstream = Upstream { rows: Some(Tensor::ones_like(&now)), carry: Carry::default() };
        for (index, input) in inputs.into_iter().enumerate().rev() {
            let forward = |x: Tensor<3>, carry: &mut Carry| layer(index, x, carry);
            (upstream, _) = backward_through(input, upstream, forward).expect("a gradient to take through");
        }
        let by_block = upstream.rows.expect("a gradient");
        let distance: f32 = (by_block - expected).abs().max().into_scalar();
        assert!(distance < 1e-5, "{distance}");
    }
}
