//! The decoder allocates nothing per token. Alone in its binary: the allocations of the whole process are counted, those of
//! the decoder's own threads too, and no other test may add to them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;
use percept_model::channel::ChannelKind;
use percept_model::config::{Biases, KeyValue, NormKind};
use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};

const VOCAB: usize = 70;

/// Counts the allocations of the whole process.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_token_allocates_nothing() {
    let plain = ModelConfig {
        layers: "llp*2, transformer".into(),
        vocab: VOCAB,
        dim: 24,
        depth: 3,
        heads: 4,
        context: 48,
        feed_forward_dim: 41,
        ..ModelConfig::default().with("segment", 4).unwrap()
    };
    let paper = ModelConfig {
        norm: NormKind::Layer,
        feed_forward: ChannelKind::Gelu,
        biases: Biases::Paper,
        key_value: KeyValue::Shared,
        ..plain.clone().with("first_segment_output", true).unwrap()
    };
    let rivals = ModelConfig {
        layers: "tost, group-conv".into(),
        feed_forward: ChannelKind::Grouped,
        feed_forward_dim: 44,
        ..plain.clone()
    };
    let recurrent = ModelConfig {
        layers: "rwkv4".into(),
        feed_forward: ChannelKind::Rwkv4,
        norm: NormKind::Layer,
        ..plain.clone()
    };
    let combiner = ModelConfig { layers: "combiner-fixed, combiner-logsparse".into(), ..plain.clone() };
    let grid = ModelConfig { layers: "combiner-axial-mixture, combiner-axial-rowmajor".into(), ..plain.clone() };
    let goose =
        ModelConfig { layers: "rwkv7, llp, rwkv7".into(), feed_forward: ChannelKind::Rwkv7, ..recurrent.clone() };
    let states =
        ModelConfig { layers: "recurrent(update=dual), recurrent(gate=fixed)".into(), blocks: 2, ..plain.clone() };
    let wide = ModelConfig { dim: 512, feed_forward_dim: 1024, ..plain.clone() };
    for config in [plain, paper, rivals, recurrent, combiner, grid, goose, states, wide] {
        let model = LanguageModel::new(&config, 3, &Device::default()).expect("a model");
        let model = Arc::new(InferenceModel::new(model));
        let mut row = vec![0.0; VOCAB];
        // Threads that are still starting allocate too, so the quietest of several rounds counts.
        let rounds: [usize; 20] = std::array::from_fn(|_| {
            let mut session = Session::new(model.clone());
            session.feed_into(&[0], &mut row).expect("fed");
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            for token in 0..40 {
                session.feed_into(&[token], &mut row).expect("fed");
            }
            ALLOCATIONS.load(Ordering::Relaxed) - before
        });
        assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "allocations are counted");
        assert_eq!(rounds.iter().min(), Some(&0), "{}, d {}: {rounds:?}", config.layers, config.dim);
    }
}
