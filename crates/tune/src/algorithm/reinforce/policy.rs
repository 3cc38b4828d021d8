//! The policy of arXiv 2006.00939: an autoregressive distribution over the values of all axes, by two-stream attention (XLNet, arXiv
//! 1906.08237) without positions and without normalisation.
//!
//! For axes i with the value x_i, taken in an order z:
//!
//! ```text
//! content   h_i = E[i, x_i], and h_0 = a learned row, which comes before all
//! query     g_i = a learned row of each axis, which stands for its position
//! a block:  h_i += attention(Q h_i; K h, V h of h_0 and z <= i);   h_i += W relu(U h_i + c) + b
//!           g_i += attention(Q g_i; K h, V h of h_0 and z < i);    g_i += W relu(U g_i + c) + b
//! logits    of axis i = W_i g_i;   value of the state before axis i = v . g_i + b
//! ```
//!
//! Both streams have the same weights, and so have all orders: they differ in who sees whom. The value is taken of the query
//! stream, which knows the choices before axis i only: a baseline that knew the choice itself would cancel the gradient.

use burn::module::{Module, Param};
use burn::tensor::activation::{log_softmax, relu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};
use percept_model::layers::{Bias, Linear};
use percept_model::parameters;

use super::ReinforceSettings;
use crate::draws::Draws;
use crate::space::{Point, Space};

/// Added to the score or logit of what can't be seen or chosen.
const HIDDEN: f32 = -1e9;

/// Standard deviation of the weights that give logits: at first all values are about as likely.
const HEAD_STD: f64 = 0.01;

/// For n axes of at most C values, of width D.
#[derive(Module, Debug)]
pub(super) struct Policy {
    /// `[n C, D]`.
    choices: Param<Tensor<2>>,
    /// `[n, D]`.
    queries: Param<Tensor<2>>,
    /// `[1, D]`.
    first: Param<Tensor<2>>,
    blocks: Vec<PolicyBlock>,
    /// `[n, D, C]`.
    heads: Param<Tensor<3>>,
    value: Linear,
}

/// Attention of one head, and two layers.
#[derive(Module, Debug)]
struct PolicyBlock {
    query: Linear,
    key: Linear,
    values: Linear,
    up: Linear,
    down: Linear,
}

/// What the policy says of one configuration in one order.
pub(super) struct Distribution {
    /// `[n, C]`: log-probabilities of the values of each axis, given the values of those before it.
    pub(super) log_shares: Tensor<2>,
    /// `[n]`: the reward that is expected before each axis is chosen.
    pub(super) values: Tensor<1>,
}

/// Who sees whom: `[1, rows, n + 1]`, 0 or [`HIDDEN`].
struct Masks {
    content: Tensor<3>,
    query: Tensor<3>,
}

impl PolicyBlock {
    fn new(width: usize, device: &Device) -> Self {
        let square = || Linear::new(width, width, Bias::Without, device);
        Self {
            query: square(),
            key: square(),
            values: square(),
            up: Linear::new(width, 2 * width, Bias::With, device),
            down: Linear::new(2 * width, width, Bias::With, device),
        }
    }

    /// `x`: `[1, rows, D]`, `content`: `[1, n + 1, D]`.
    fn forward(&self, x: Tensor<3>, content: &Tensor<3>, mask: &Tensor<3>) -> Tensor<3> {
        let scale = (x.dims()[2] as f32).powf(-0.5);
        let scores = self.query.forward(x.clone()).matmul(self.key.forward(content.clone()).swap_dims(1, 2));
        let shares = softmax(scores * scale + mask.clone(), 2);
        let x = x + shares.matmul(self.values.forward(content.clone()));
        x.clone() + self.down.forward(relu(self.up.forward(x)))
    }
}

impl Policy {
    /// The policy before its first step, on a device with gradients.
    pub(super) fn new(settings: &ReinforceSettings, space: &Space, seed: u64) -> Self {
        let (device, width) = (Device::default().autodiff(), settings.width);
        let (axes, most) = (space.axes().len(), most(space));
        let zeros = |shape: [usize; 2]| Param::from_tensor(Tensor::zeros(shape, &device));
        let policy = Self {
            choices: zeros([axes * most, width]),
            queries: zeros([axes, width]),
            first: zeros([1, width]),
            blocks: (0..settings.blocks).map(|_| PolicyBlock::new(width, &device)).collect(),
            heads: Param::from_tensor(Tensor::zeros([axes, width, most], &device)),
            value: Linear::new(width, 1, Bias::With, &device),
        };
        let mut draws = Draws::new(&[seed, u64::MAX]);
        parameters::map(policy, |path, shape, old| {
            let std = match path {
                "choices" | "queries" | "first" => 1.0,
                "heads" => HEAD_STD,
                _ if path.ends_with(".bias") || path.starts_with("value.") => return old,
                _ => (shape[0] as f64).powf(-0.5),
            };
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| (std * draws.normal()) as f32).collect();
            tensor(values, &old.device())
        })
    }

    /// What it says of `point`, whose axes are taken by rising `ranks`.
    pub(super) fn distribution(&self, space: &Space, point: &[usize], ranks: &[usize]) -> Distribution {
        let (axes, most) = (space.axes().len(), most(space));
        let device = self.queries.val().device();
        let rows: Vec<i32> = point.iter().enumerate().map(|(axis, choice)| (axis * most + choice) as i32).collect();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [axes]), &device);
        let chosen = self.choices.val().select(0, rows);
        let mut content = Tensor::cat(vec![self.first.val(), chosen], 0).unsqueeze_dim::<3>(0);
        let mut query = self.queries.val().unsqueeze_dim::<3>(0);
        let masks = Masks::new(ranks, &device);
        for (index, block) in self.blocks.iter().enumerate() {
            query = block.forward(query, &content, &masks.query);
            // Nobody reads the content behind the last block.
            if index + 1 < self.blocks.len() {
                content = block.forward(content.clone(), &content, &masks.content);
            }
        }
        let values = self.value.forward(query.clone()).reshape([axes]);
        let logits = query.swap_dims(0, 1).matmul(self.heads.val()).reshape([axes, most]);
        Distribution { log_shares: log_softmax(logits + absent(space, &device), 1), values }
    }

    /// A configuration, one axis after another by rising `ranks`.
    pub(super) fn sample(&self, space: &Space, ranks: &[usize], draws: &mut Draws) -> Point {
        let mut order: Vec<usize> = (0..ranks.len()).collect();
        order.sort_by_key(|axis| ranks[*axis]);
        // What stands for the values that are not chosen yet is hidden from those that are.
        let mut point = vec![0; ranks.len()];
        for axis in order {
            let log_shares = self.distribution(space, &point, ranks).log_shares.narrow(0, axis, 1);
            let shares: Vec<f64> = log_shares.into_data().iter::<f64>().map(f64::exp).collect();
            point[axis] = draws.weighted(&shares);
        }
        point
    }
}

impl Masks {
    fn new(ranks: &[usize], device: &Device) -> Self {
        let axes = ranks.len();
        let row = |sees: &dyn Fn(usize) -> bool| -> Vec<f32> {
            let seen = ranks.iter().map(|rank| if sees(*rank) { 0.0 } else { HIDDEN });
            std::iter::once(0.0).chain(seen).collect()
        };
        let content = std::iter::once(row(&|_| false)).chain(ranks.iter().map(|own| row(&|rank| rank <= *own)));
        let query = ranks.iter().map(|own| row(&|rank| rank < *own));
        let mask = |rows: Vec<Vec<f32>>| {
            let count = rows.len();
            Tensor::from_data(TensorData::new(rows.concat(), [1, count, axes + 1]), device)
        };
        Self { content: mask(content.collect()), query: mask(query.collect()) }
    }
}

/// Most values of an axis.
fn most(space: &Space) -> usize {
    space.axes().iter().map(|axis| axis.choices()).max().unwrap_or(0)
}

/// `[n, C]`: [`HIDDEN`] behind the last value of each axis.
fn absent(space: &Space, device: &Device) -> Tensor<2> {
    let (axes, most) = (space.axes().len(), most(space));
    let row = |choices: usize| (0..most).map(move |value| if value < choices { 0.0 } else { HIDDEN });
    let values: Vec<f32> = space.axes().iter().flat_map(|axis| row(axis.choices())).collect();
    Tensor::from_data(TensorData::new(values, [axes, most]), device)
}

/// A flat tensor.
pub(super) fn tensor(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
