//! Ranks that are threads of one process.

use std::sync::mpsc::{Receiver, Sender, channel};

use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_model::parameters::Tensors;
use percept_train::Ranks;

#[derive(Debug, Clone)]
enum Message {
    Tensors(Vec<(String, Vec<f32>)>),
    Numbers(Vec<f64>),
}

/// One of them; channels lead from each to each, itself included.
#[derive(Debug)]
pub(crate) struct ThreadRank {
    rank: usize,
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
}

impl ThreadRank {
    /// All of them.
    pub(crate) fn world(world: usize) -> Vec<Self> {
        let mut ranks: Vec<Self> = (0..world).map(|rank| Self { rank, to: Vec::new(), from: Vec::new() }).collect();
        for sender in 0..world {
            for receiver in 0..world {
                let (to, from) = channel();
                ranks[sender].to.push(to);
                ranks[receiver].from.push(from);
            }
        }
        ranks
    }

    /// What each says, in the order of the ranks.
    fn exchange(&self, own: &Message) -> Result<Vec<Message>> {
        let gone = || Fault::environment("a rank is gone");
        self.to.iter().try_for_each(|to| to.send(own.clone()).map_err(|_| gone()))?;
        self.from.iter().map(|from| from.recv().map_err(|_| gone())).collect()
    }
}

impl Ranks for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.to.len()
    }

    fn all_reduce(&self, tensors: Tensors) -> Result<Tensors> {
        let values = |tensor: Tensor<1>| tensor.into_data().iter::<f32>().collect::<Vec<f32>>();
        let own = tensors.into_iter().map(|(path, tensor)| (path, values(tensor))).collect();
        let mut sums: Vec<(String, Vec<f32>)> = Vec::new();
        for message in self.exchange(&Message::Tensors(own))? {
            let Message::Tensors(tensors) = message else { panic!("the ranks are out of step") };
            match sums.is_empty() {
                true => sums = tensors,
                false => {
                    for ((path, sum), (other, values)) in sums.iter_mut().zip(tensors) {
                        assert_eq!(*path, other, "all ranks have the same tensors");
                        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                    }
                }
            }
        }
        let tensor = |values: Vec<f32>| Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
        Ok(sums.into_iter().map(|(path, values)| (path, tensor(values))).collect())
    }

    fn sum(&self, numbers: &mut [f64]) -> Result<()> {
        let all = self.exchange(&Message::Numbers(numbers.to_vec()))?;
        numbers.fill(0.0);
        for message in all {
            let Message::Numbers(others) = message else { panic!("the ranks are out of step") };
            numbers.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        self.exchange(&Message::Numbers(Vec::new())).map(drop)
    }
}
