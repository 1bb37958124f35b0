//! The rule that finds where a chunk ends: FastCDC of 2020 with normalisation of level 2.
//!
//! The crate's cut function is used on a window of our own; its streaming reader would allocate a
//! buffer for each chunk. Its checks of sizes are debug assertions only, so [`super::Limits::check`]
//! makes them.

use fastcdc::v2020::{Normalization, cut, select_masks};

use super::Limits;

/// The sizes and masks of FastCDC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gear {
    min: usize,
    avg: usize,
    max: usize,
    mask_small: u64,
    mask_large: u64,
}

impl Gear {
    pub(super) fn new(limits: &Limits) -> Self {
        let (mask_small, mask_large) = select_masks(limits.avg as usize, Normalization::Level2);
        Self {
            min: limits.min as usize,
            avg: limits.avg as usize,
            max: limits.max as usize,
            mask_small,
            mask_large,
        }
    }

    /// The length of the first chunk of `window`, which holds the longest chunk that there may be or
    /// all that is left to cut. It is zero for an empty window alone.
    pub(super) fn cut(&self, window: &[u8]) -> usize {
        let (_, end) = cut(
            window,
            self.min,
            self.avg,
            self.max,
            self.mask_small,
            self.mask_large,
            self.mask_small << 1,
            self.mask_large << 1,
        );
        end
    }
}
