//! The head, written out from its formulas.

use std::collections::BTreeMap;

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use safetensors::SafeTensors;

use crate::fixture::{Fixture, values};

/// The head written out, in f64, with the padding mask of the authors: for pairs that are asked from padding, which we do not ask.
pub(crate) struct Reference {
    weights: BTreeMap<String, Tensor<2>>,
    /// -ln p of the label of every pair, and the logits.
    losses: Vec<Tensor<1>>,
    pub(crate) logits: Vec<f32>,
}

impl Reference {
    /// Of the pairs at these places.
    pub(crate) fn new(fixture: &Fixture, places: &[usize]) -> Self {
        let device = Device::flex().autodiff();
        let options = (&device, DType::F64);
        let file = SafeTensors::deserialize(&fixture.bytes).expect("a safetensors file");
        let names = file.names().into_iter().filter_map(|name| name.strip_prefix("param."));
        let weight = |name: &str| {
            let (shape, values) = fixture.floats(&format!("param.{name}"));
            let shape = [shape[0], shape.get(1).copied().unwrap_or(1)];
            Tensor::<2>::from_data(TensorData::new(values, shape), options).require_grad()
        };
        let weights = names.map(|name| (name.to_owned(), weight(name))).collect();
        let mut reference = Self { weights, losses: Vec::new(), logits: Vec::new() };
        let (shape, ids) = fixture.integers("input_ids");
        let (length, window) = (shape[1], fixture.integers("labels").0[2]);
        for row in 0..shape[0] {
            let ids = &ids[row * length..][..length];
            let of_row = |place: &&usize| **place / (length * window) == row;
            let own: Vec<usize> = places.iter().filter(of_row).map(|place| place % (length * window)).collect();
            reference.row(fixture, (row, ids, window), &own);
        }
        reference
    }

    fn weight(&self, layer: &str, name: &str) -> Tensor<2> {
        self.weights[&format!("{layer}.{name}.weight")].clone()
    }

    /// `x [n, d]`, each row normalised.
    fn norm(&self, fixture: &Fixture, x: Tensor<2>, gamma: Tensor<2>) -> Tensor<2> {
        let eps: f64 = fixture.number("rms_norm_eps");
        let mean = (x.clone() * x.clone()).mean_dim(1);
        x / (mean + eps).sqrt() * gamma.transpose()
    }

    /// Heads `[n, e]` turned to positions.
    fn turned(x: Tensor<2>, positions: &[usize], base: f64) -> Tensor<2> {
        let [rows, width] = x.dims();
        let half = width / 2;
        let angle = |at: usize, pair: usize| at as f64 * base.powf(-2.0 * pair as f64 / width as f64);
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f64> = positions.iter().flat_map(|&at| (0..half).map(move |c| of(angle(at, c)))).collect();
            Tensor::<2>::from_data(TensorData::new(values, [rows, half]), (&x.device(), DType::F64))
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        let (a, b) = (x.clone().narrow(1, 0, half), x.clone().narrow(1, half, half));
        Tensor::cat(vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos + a * sin], 1)
    }

    /// A layer for queries of some sources that ask for some positions; keys are all tokens that are no padding.
    fn layer(
        &self,
        fixture: &Fixture,
        (layer, row): (&str, usize),
        x: Tensor<2>,
        asked: &[(usize, usize)],
    ) -> Tensor<2> {
        let [length, dim] = x.dims();
        let (heads, groups): (usize, usize) = (fixture.number("heads"), fixture.number("kv_heads"));
        let (base, width) = (fixture.number("rope_theta"), dim / heads);
        let mask = &fixture.integers("attention_mask").1[row * length..][..length];
        let (sources, targets): (Vec<usize>, Vec<usize>) = asked.iter().copied().unzip();
        let ids = sources.iter().map(|&source| source as i64).collect::<Vec<_>>();
        let ids = Tensor::<1, Int>::from_data(ids.as_slice(), &x.device());
        let h = self.norm(fixture, x.clone(), self.weight(layer, "input_layernorm"));
        let maps = ["q_proj", "k_proj", "v_proj"].map(|name| self.weight(layer, &format!("self_attn.{name}")));
        let [q, k, v] = maps.map(|map| h.clone().matmul(map.transpose()));
        let q = q.select(0, ids.clone());
        let hidden = |&source: &usize| (0..length).map(move |key| key > source || mask[key] == 0);
        let hidden: Vec<f64> = sources.iter().flat_map(hidden).map(|hides| if hides { -1e30 } else { 0.0 }).collect();
        let hidden =
            Tensor::<2>::from_data(TensorData::new(hidden, [sources.len(), length]), (&x.device(), DType::F64));
        let positions: Vec<usize> = (0..length).collect();
        let head = |head: usize| {
            let group = head * groups / heads;
            let q = Self::turned(q.clone().narrow(1, head * width, width), &targets, base);
            let k = Self::turned(k.clone().narrow(1, group * width, width), &positions, base);
            let scores = q.matmul(k.transpose()) / (width as f64).sqrt() + hidden.clone();
            softmax(scores, 1).matmul(v.clone().narrow(1, group * width, width))
        };
        let attended = Tensor::cat((0..heads).map(head).collect(), 1);
        let z = x.select(0, ids) + attended.matmul(self.weight(layer, "self_attn.o_proj").transpose());
        let u = self.norm(fixture, z.clone(), self.weight(layer, "post_attention_layernorm"));
        let [gate, up] =
            ["mlp.gate_proj", "mlp.up_proj"].map(|name| u.clone().matmul(self.weight(layer, name).transpose()));
        z + (silu(gate) * up).matmul(self.weight(layer, "mlp.down_proj").transpose())
    }

    /// One sequence: the pairs at places within it.
    fn row(&mut self, fixture: &Fixture, (row, ids, window): (usize, &[i64], usize), places: &[usize]) {
        let own: Vec<(usize, usize)> = (0..ids.len()).map(|at| (at, at)).collect();
        let embedding = self.weights["model.embed_tokens.weight"].clone();
        let ids = Tensor::<1, Int>::from_data(ids, &embedding.device());
        let mut x = embedding.select(0, ids);
        let mut layers: Vec<String> =
            (0..fixture.number("layers")).map(|layer| format!("model.layers.{layer}")).collect();
        layers.extend((fixture.metadata["additional_layer"] == "true").then(|| "model.oa_layer".to_owned()));
        let last = layers.pop().expect("a layer");
        for layer in &layers {
            x = self.layer(fixture, (layer, row), x, &own);
        }
        let length = own.len();
        let of = |tensor: &str| fixture.integers(tensor).1[row * length * window..][..length * window].to_vec();
        let (targets, labels) = (of("targets_position"), of("labels"));
        let asked: Vec<_> = places.iter().map(|&place| (place / window, targets[place] as usize)).collect();
        let z = self.layer(fixture, (&last, row), x, &asked);
        let z = self.norm(fixture, z, self.weights["model.norm.weight"].clone());
        let logits = z.matmul(self.weights["lm_head.weight"].clone().transpose());
        let labels: Vec<i64> = places.iter().map(|&place| labels[place]).collect();
        let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [places.len(), 1]), &logits.device());
        self.logits.extend(logits.clone().into_data().iter::<f32>());
        self.losses.push(-log_softmax(logits, 1).gather(1, labels).squeeze_dim::<1>(1));
    }

    /// The mean loss, and the gradient of each weight.
    pub(crate) fn learn(&self) -> (f32, BTreeMap<String, Vec<f32>>) {
        let loss = Tensor::cat(self.losses.clone(), 0).mean();
        let graph = loss.backward();
        let gradient =
            |(name, weight): (&String, &Tensor<2>)| (name.clone(), weight.grad(&graph).map(values).unwrap_or_default());
        (values(loss.inner())[0], self.weights.iter().map(gradient).collect())
    }
}
