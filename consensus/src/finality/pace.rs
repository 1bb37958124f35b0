//! Whose turn it is in a view, and how long a view lasts (P-32).
//!
//! **Invariants**: integers alone; every node computes the same leader from the checkpoint before.

use gdo_core::id::{Digest, MemberName, ObjectId, View};
use gdo_core::policy::Validator;

/// The view from which the pace does not slow down any more.
const SLOWEST: u64 = 12;

/// Δ of a view in milliseconds: Δ0 · 1.5^min(view, 12), rounded down, at least 1.
pub(super) fn delta_ms(delta0_ms: u64, view: View) -> u64 {
    let power = view.0.min(SLOWEST) as u32;
    let scaled = u128::from(delta0_ms.max(1)) * 3u128.pow(power) / 2u128.pow(power);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Weighted round robin: in as many consecutive views as there is weight, each validator leads
/// exactly as often as it has weight.
///
/// The turns are spread by a stride of about the golden section of the weight, so that a validator
/// of less than a third of the weight hardly ever leads twice in a row: if it is down, one view is
/// lost, not many.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// The validators with the end of each one's stretch of turns.
    ends: Vec<(MemberName, u64)>,
    total: u64,
    stride: u64,
    offset: u64,
}

impl Rotation {
    /// The rotation after the checkpoint `previous`.
    ///
    /// # Panics
    /// If there is no validator; a policy always has one.
    pub(super) fn new(validators: &[Validator], previous: ObjectId) -> Self {
        assert!(
            !validators.is_empty(),
            "a policy has at least one validator"
        );
        let mut sorted: Vec<_> = validators.iter().collect();
        sorted.sort_by(|a, b| a.member.cmp(&b.member));
        let common = sorted
            .iter()
            .fold(0, |common, v| gcd(common, v.weight.0))
            .max(1);
        let mut total = 0;
        let mut ends = Vec::new();
        for validator in sorted {
            total += validator.weight.0 / common;
            ends.push((validator.member.clone(), total));
        }
        let total = total.max(1);
        let mut stride = (u128::from(total) * 618 / 1000) as u64 + 1;
        while gcd(stride, total) != 1 {
            stride += 1;
        }
        let digest = Digest::of(previous.as_bytes());
        let head = digest.as_bytes()[..8]
            .try_into()
            .expect("a digest has 32 bytes");
        Self {
            ends,
            total,
            stride,
            offset: u64::from_be_bytes(head) % total,
        }
    }

    /// Who leads `view`.
    pub(super) fn leader(&self, view: View) -> &MemberName {
        let turns = u128::from(view.0.saturating_sub(1)) * u128::from(self.stride);
        let turn = ((u128::from(self.offset) + turns) % u128::from(self.total)) as u64;
        let at = self.ends.partition_point(|(_, end)| *end <= turn);
        &self.ends[at.min(self.ends.len() - 1)].0
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
