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
        let stride = stride(total);
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

/// The number nearest to 0.618 of `total` that has no factor in common with it; of two, the lower.
fn stride(total: u64) -> u64 {
    let golden = ((u128::from(total) * 618 + 500) / 1000) as u64;
    let mut near = (0..=total).flat_map(|far| [golden.saturating_sub(far), golden + far]);
    near.find(|stride| gcd(*stride, total) == 1)
        .expect("1 has no factor in common with anything")
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finality::sim::{member, value};
    use gdo_core::id::Weight;

    fn rotation(weights: &[u64], previous: ObjectId) -> Rotation {
        let validator = |(index, weight): (usize, &u64)| Validator {
            member: member(index),
            weight: Weight(*weight),
        };
        let validators: Vec<_> = weights.iter().enumerate().map(validator).collect();
        Rotation::new(&validators, previous)
    }

    fn leaders(rotation: &Rotation, views: u64) -> Vec<MemberName> {
        (1..=views)
            .map(|view| rotation.leader(View(view)).clone())
            .collect()
    }

    #[test]
    fn views_last_longer_by_half_up_to_the_twelfth() {
        let table = [
            (0, 1000),
            (1, 1500),
            (2, 2250),
            (3, 3375),
            (4, 5062),
            (12, 129_746),
        ];
        for (view, expected) in table {
            assert_eq!(delta_ms(1000, View(view)), expected, "view {view}");
        }
        assert_eq!(delta_ms(1000, View(13)), delta_ms(1000, View(12)));
        assert_eq!(delta_ms(1000, View(u64::MAX)), delta_ms(1000, View(12)));
        assert_eq!(
            (delta_ms(0, View(1)), delta_ms(u64::MAX, View(12))),
            (1, u64::MAX)
        );
    }

    #[test]
    fn everybody_leads_as_often_as_it_has_weight() {
        let sets: [&[u64]; 6] = [
            &[1],
            &[1, 1, 1],
            &[1, 1, 1, 1],
            &[3, 2, 2],
            &[5, 4, 3, 3],
            &[9_000, 1, 7, 20],
        ];
        for weights in sets {
            let rotation = rotation(weights, value([1, 2, 3]));
            let total = weights.iter().sum::<u64>();
            let turns = leaders(&rotation, total);
            for (index, weight) in weights.iter().enumerate() {
                let led = turns.iter().filter(|name| **name == member(index)).count() as u64;
                assert_eq!(led, *weight, "v{index} of {weights:?}");
            }
            assert_eq!(
                rotation.leader(View(total + 1)),
                &turns[0],
                "the round begins again"
            );
        }
    }

    #[test]
    fn equal_weights_take_turns_one_by_one_whatever_the_weight() {
        let light = leaders(&rotation(&[1; 4], value([1, 0, 0])), 8);
        let heavy = rotation(&[250; 4], value([1, 0, 0]));
        assert_eq!(leaders(&heavy, 8), light);
        assert!(light.windows(2).all(|pair| pair[0] != pair[1]), "{light:?}");
    }

    #[test]
    fn a_third_of_the_weight_does_not_lead_twice_in_a_row() {
        let sets: [&[u64]; 4] = [
            &[7, 8, 9],
            &[10, 10, 10, 1],
            &[100, 90, 80, 70],
            &[5, 5, 5, 2],
        ];
        for weights in sets {
            let total: u64 = weights.iter().sum();
            let turns = leaders(&rotation(weights, value([1, 0, 0])), 2 * total);
            for (index, weight) in weights.iter().enumerate() {
                let twice = turns
                    .windows(2)
                    .filter(|w| w[0] == w[1] && w[0] == member(index));
                assert!(
                    3 * weight > total || twice.count() == 0,
                    "v{index} of {weights:?}"
                );
            }
        }
    }

    #[test]
    fn the_checkpoint_before_turns_the_rotation() {
        let first = |byte| {
            rotation(&[1; 4], value([byte, 0, 0]))
                .leader(View(1))
                .clone()
        };
        let firsts: std::collections::BTreeSet<_> = (0..32).map(first).collect();
        assert_eq!(firsts.len(), 4);
    }
}
