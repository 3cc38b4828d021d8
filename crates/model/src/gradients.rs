//! Loss and gradients of a batch, with or without recomputation of the blocks.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients as Graph, Tensor};
use percept_fault::{Fault, Result};

use crate::batch::{Batch, Loss};
use crate::language_model::{LanguageModel, number};
use crate::layer::{BlockContext, Carry, Mode, Rows};
use crate::parameters::Path;

/// What the backward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recompute {
    /// Every activation: fastest.
    Keep,
    /// The input of every block, which runs again in the backward pass: least memory.
    Blocks,
}

/// Gradients by parameter path, flattened.
#[derive(Debug, Clone, Default)]
pub struct Gradients(pub BTreeMap<String, Tensor<1>>);

impl Gradients {
    /// Adds another set, path by path.
    pub fn accumulate(&mut self, other: Gradients) {
        for (path, gradient) in other.0 {
            self.add(path, gradient);
        }
    }

    fn add(&mut self, path: String, gradient: Tensor<1>) {
        let sum = match self.0.remove(&path) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        self.0.insert(path, sum);
    }
}

struct Collector<'a> {
    path: Path,
    graph: &'a mut Graph,
    gradients: &'a mut Gradients,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.graph) {
            let size = gradient.shape().num_elements();
            self.gradients.add(self.path.text(), gradient.reshape([size]));
        }
    }
}

impl Gradients {
    fn collect(&mut self, module: &impl Module, prefix: &str, graph: &mut Graph) {
        module.visit(&mut Collector { path: Path::under(prefix), graph, gradients: self });
    }
}

impl LanguageModel {
    /// NLL of the batch's targets on the scorable rows, and the gradients of (sum of NLL) * `scale`
    /// (z-loss included in the gradients only). The model must live on an autodiff device.
    pub fn loss_and_gradients(
        &self,
        batch: &Batch,
        mode: Mode,
        recompute: Recompute,
        scale: f32,
    ) -> Result<(Loss, Gradients)> {
        batch.validate(self.config().vocab)?;
        if !self.device().is_autodiff() {
            return Err(Fault::internal("gradients need a model on an autodiff device"));
        }
        let rows = self.window_rows(batch.length);
        let targets = batch.last_targets(rows.latents);
        let scored = targets.iter().filter(|&&target| target != crate::IGNORED).count();
        let (nll, gradients) = match recompute {
            Recompute::Keep => self.backward_at_once(batch, &targets, rows, mode, scale),
            Recompute::Blocks => self.backward_by_block(batch, &targets, rows, mode, scale),
        };
        Ok((Loss { nll, targets: scored }, gradients))
    }

    fn backward_at_once(&self, batch: &Batch, targets: &[u32], rows: Rows, mode: Mode, scale: f32) -> (f64, Gradients) {
        let x = self.run_blocks(self.embed(&batch.tokens, batch.rows), None, rows, mode);
        let (nll, loss) = self.loss_of(x, targets);
        let mut gradients = Gradients::default();
        gradients.collect(self, "", &mut (loss * scale).backward());
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
        batch: &Batch,
        targets: &[u32],
        rows: Rows,
        mode: Mode,
        scale: f32,
    ) -> (f64, Gradients) {
        let embedded = self.embed(&batch.tokens, batch.rows);
        let (inputs, last, last_rows) = self.block_inputs(embedded.clone().inner(), rows, mode);
        let mut gradients = Gradients::default();
        let leaf = Tensor::<3>::from_inner(last).require_grad();
        let latents = leaf.clone().narrow(1, last_rows.history, last_rows.latents);
        let (nll, loss) = self.loss_of(latents, targets);
        let mut graph = (loss * scale).backward();
        let mut upstream = Upstream { rows: leaf.grad_remove(&mut graph), carry: Carry::default() };
        gradients.collect(&self.norm, "norm", &mut graph);
        gradients.collect(&self.head, "head", &mut graph);
        gradients.collect(&self.embedding, "embedding", &mut graph);
        for (index, input) in inputs.into_iter().enumerate().rev() {
            upstream = self.backward_of_block(index, input, upstream, &mut gradients);
        }
        if let Some(dx) = upstream.rows {
            let mut graph = (embedded * Tensor::from_inner(dx)).sum().backward();
            gradients.collect(&self.embedding, "embedding", &mut graph);
        }
        (nll, gradients)
    }

    /// What enters every block, and what leaves the last one with its rows; without autodiff.
    fn block_inputs(&self, mut x: Tensor<3>, mut rows: Rows, mode: Mode) -> (Vec<BlockInput>, Tensor<3>, Rows) {
        let inference = self.for_inference();
        let (mut inputs, mut carry) = (Vec::with_capacity(self.blocks.len()), Carry::default());
        for (block, layer) in inference.blocks.iter().zip(self.layers()) {
            let (context, after) = layer.context(self.config(), rows, mode);
            inputs.push(BlockInput { x: x.clone(), carry: carry.clone(), context });
            x = block.forward(x, None, &mut carry, &context);
            rows = after;
        }
        (inputs, x, rows)
    }

    /// The gradients of a block's weights are added to `gradients`, those of its input returned.
    fn backward_of_block(
        &self,
        index: usize,
        input: BlockInput,
        upstream: Upstream,
        gradients: &mut Gradients,
    ) -> Upstream {
        let leaf = Tensor::<3>::from_inner(input.x).require_grad();
        let carried = input.carry.map(|value| Tensor::from_inner(value).require_grad());
        let mut carry = carried.clone();
        let y = self.blocks[index].forward(leaf.clone(), None, &mut carry, &input.context);
        let after = carry.iter().filter_map(|(name, value)| Some((value.clone(), upstream.carry.get(name)?.clone())));
        let products = after.chain(upstream.rows.map(|dy| (y, dy))).map(|(y, dy)| (y * Tensor::from_inner(dy)).sum());
        let Some(sum) = products.reduce(|a, b| a + b) else { return Upstream::default() };
        let mut graph = sum.backward();
        let mut below = Upstream { rows: leaf.grad_remove(&mut graph), carry: Carry::default() };
        for (name, value) in carried.iter() {
            if let Some(gradient) = value.grad_remove(&mut graph) {
                below.carry.set(name, gradient);
            }
        }
        gradients.collect(&self.blocks[index], &format!("blocks.{index}"), &mut graph);
        below
    }
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
