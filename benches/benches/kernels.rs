//! Every kernel on the shapes of one training step of a small LLP: `cargo bench --manifest-path benches/Cargo.toml [-- NAME]`.

use criterion::{Criterion, criterion_group, criterion_main};
use percept_kernels::bench::{Shapes, cases};

/// Configuration S of `percept bench`.
const SHAPES: Shapes = Shapes {
    batch: 4,
    context: 1024,
    segment: 128,
    dim: 256,
    hidden: 1024,
    heads: 4,
    vocab: 4096,
    parameters: 5_000_000,
};

fn kernels(criterion: &mut Criterion) {
    for case in cases(&SHAPES) {
        criterion.bench_function(&case.name, |bencher| {
            let mut run = case.prepare();
            bencher.iter(&mut *run);
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = kernels
}
criterion_main!(benches);
