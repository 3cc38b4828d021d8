//! Memory of tensors, used again and again.
//!
//! A training step makes the same few hundred large tensors as the step before. Memory fresh from the system costs a page
//! fault per 4 KiB (14 % of a step, measured), so buffers of dropped tensors are kept and handed out again. They never
//! hold more than the largest amount that was alive at one time.

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, Shape, Tensor};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Elements below which a buffer is not worth keeping.
const SMALL: usize = 4096;

static POOL: Mutex<Pool> = Mutex::new(Pool { free: VecDeque::new(), kept: 0, alive: 0, peak: 0 });

struct Pool {
    /// Oldest first.
    free: VecDeque<Vec<f32>>,
    /// Elements in `free`.
    kept: usize,
    /// Elements in tensors.
    alive: usize,
    /// Largest `alive` so far.
    peak: usize,
}

impl Pool {
    fn lock() -> MutexGuard<'static, Self> {
        POOL.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of exactly `len` elements, the one freed last.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let index = self.free.iter().rposition(|buffer| buffer.len() == len)?;
        self.kept -= len;
        self.free.remove(index)
    }

    fn adopt(&mut self, len: usize) {
        self.alive += len;
        self.peak = self.peak.max(self.alive);
        self.trim();
    }

    fn put(&mut self, buffer: Vec<f32>) {
        self.alive = self.alive.saturating_sub(buffer.len());
        self.kept += buffer.len();
        self.free.push_back(buffer);
        self.trim();
    }

    fn trim(&mut self) {
        while self.kept + self.alive > self.peak
            && let Some(oldest) = self.free.pop_front()
        {
            self.kept -= oldest.len();
        }
    }
}

/// `len` numbers of unspecified value, for a kernel that writes them all.
pub(super) fn numbers(len: usize) -> Vec<f32> {
    let kept = if len < SMALL { None } else { Pool::lock().take(len) };
    kept.unwrap_or_else(|| vec![0.0; len])
}

/// A tensor that owns `data`.
pub(super) fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    let len = data.len();
    let bytes = if len < SMALL {
        Bytes::from_elems(data)
    } else {
        Pool::lock().adopt(len);
        // SAFETY: the controller's memory is `len` initialised elements.
        unsafe { Bytes::from_controller(Box::new(Recycled(data)), len * size_of::<f32>()) }
    };
    FlexTensor::new(bytes, Layout::contiguous(shape.into()), DType::F32)
}

/// The backend's tensor of one on the Flex device, without autodiff.
pub(super) fn primitive<const D: usize>(x: Tensor<D>) -> FlexTensor {
    match x.inner().try_into_primitive::<Flex>() {
        Ok(x) => x,
        Err(error) => unreachable!("the caller has seen a tensor of the Flex device: {error:?}"),
    }
}

/// Takes back elements that no tensor needs.
pub(super) fn recycle(data: Vec<f32>) {
    let len = data.len();
    drop(tensor(data, [len]));
}

/// The tensor with its elements in order, copied only where they are not.
pub(super) fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.as_slice::<f32>().is_some() { x } else { x.to_contiguous() }
}

/// A parameter that may be absent: then it is a tensor without elements.
pub(super) fn present(x: FlexTensor) -> Option<FlexTensor> {
    (x.layout().shape().num_elements() > 0).then(|| contiguous(x))
}

/// The elements of a tensor from [`contiguous`], [`owned`] or [`tensor`].
pub(super) fn slice(x: &FlexTensor) -> &[f32] {
    match x.layout().contiguous_offsets() {
        Some((start, end)) => &x.storage::<f32>()[start..end],
        None => unreachable!("the callers have made the tensor contiguous"),
    }
}

/// The tensor in memory of its own, copied only where another tensor shares it or where it is a part of more.
pub(super) fn owned(x: FlexTensor) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let whole = x.layout().is_contiguous() && x.bytes().len() == shape.num_elements() * size_of::<f32>();
    if whole && x.is_unique() {
        return x;
    }
    let x = contiguous(x);
    let mut data = numbers(shape.num_elements());
    data.copy_from_slice(slice(&x));
    tensor(data, shape)
}

/// The elements of a tensor from [`owned`], to be changed in place.
pub(super) fn slice_mut(x: &mut FlexTensor) -> &mut [f32] {
    x.storage_mut()
}

/// A buffer that goes back to the pool.
struct Recycled(Vec<f32>);

impl Drop for Recycled {
    fn drop(&mut self) {
        Pool::lock().put(std::mem::take(&mut self.0));
    }
}

impl AllocationController for Recycled {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.0);
        // SAFETY: u8 and MaybeUninit<u8> have one layout; the caller writes initialised data only.
        Ok(unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.0);
        // SAFETY: u8 and MaybeUninit<u8> have one layout, and the borrow is shared.
        Ok(unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool { free: VecDeque::new(), kept: 0, alive: 0, peak: 0 }
    }

    #[test]
    fn a_buffer_comes_back_by_its_length() {
        let mut pool = pool();
        pool.adopt(10);
        pool.adopt(20);
        pool.put(vec![1.0; 10]);
        assert!(pool.take(11).is_none());
        assert_eq!(pool.take(10), Some(vec![1.0; 10]));
        assert!(pool.take(10).is_none());
    }

    #[test]
    fn what_is_kept_and_alive_stays_below_the_peak() {
        let mut pool = pool();
        (0..4).for_each(|_| pool.adopt(10));
        (0..4).for_each(|_| pool.put(vec![0.0; 10]));
        assert_eq!((pool.kept, pool.alive, pool.peak), (40, 0, 40));
        pool.adopt(25);
        assert_eq!((pool.kept, pool.alive, pool.peak), (10, 25, 40));
        pool.adopt(75);
        assert_eq!((pool.kept, pool.alive, pool.peak), (0, 100, 100));
    }

    #[test]
    fn shared_and_partial_tensors_are_copied_before_a_change() {
        let x = tensor((0..2 * SMALL).map(|i| i as f32).collect(), [2 * SMALL]);
        let mut copy = owned(x.clone());
        slice_mut(&mut copy)[0] = 5.0;
        assert_eq!((slice(&x)[0], slice(&copy)[0], slice(&copy)[1]), (0.0, 5.0, 1.0));
        let address = slice(&x).as_ptr();
        assert_eq!(slice(&owned(x)).as_ptr(), address);
    }
}
