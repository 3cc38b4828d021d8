//! Which number format the products of a training step use.

use std::cell::Cell;

pub use percept_kernels::Precision;

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `body`; the linear maps, attention and the output head that it calls on this thread round the operands of their
/// products to `precision`, in their backward pass too, wherever that runs. Everything else, and everything outside, is f32.
///
/// It concerns f32 tensors. On the CPU `precision` must be [supported](Precision::is_supported); on other devices the
/// device must have its numbers.
pub fn in_precision<R>(precision: Precision, body: impl FnOnce() -> R) -> R {
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(precision));
    body()
}

/// The precision that a linear map called now has to take.
pub(super) fn current() -> Precision {
    CURRENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_body_and_stays_on_its_thread() {
        in_precision(Precision::Bf16, || {
            assert_eq!(current(), Precision::Bf16);
            in_precision(Precision::F32, || assert_eq!(current(), Precision::F32));
            assert_eq!(current(), Precision::Bf16);
            assert_eq!(std::thread::spawn(current).join().unwrap(), Precision::F32);
        });
        let panicked = std::panic::catch_unwind(|| in_precision(Precision::Bf16, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(current(), Precision::F32);
    }
}
