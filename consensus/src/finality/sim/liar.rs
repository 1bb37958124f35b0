//! What liars do: they know everything that was signed, and sign anything themselves.

use gdo_core::id::{ObjectId, View};
use gdo_core::vote::{Ballot, VoteKind};

use super::{BAD, Event, World, member, value};
use crate::finality::{Input, Instance, Params};

impl World {
    /// Random lies: any votes on any values that are about, to anybody, and double proposals.
    pub(super) fn lie(&mut self, index: usize) {
        let views = self.honest().filter_map(|actor| actor.instance.as_ref());
        let newest = views
            .map(|instance| instance.view().0)
            .max()
            .unwrap_or(1)
            .max(1);
        let mut values: Vec<_> = self
            .signed
            .keys()
            .filter_map(|(_, ballot)| ballot.value)
            .collect();
        values.extend([
            value([BAD, 0, 0]),
            value([10, index as u8, 1]),
            value([10, index as u8, 2]),
        ]);
        for _ in 0..4 {
            let kinds = [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize];
            let kind = kinds[self.random.below(3) as usize];
            let view = View(newest.saturating_sub(self.random.below(3)).max(1));
            let picked = values[self.random.below(values.len() as u64) as usize];
            self.tell(
                index,
                view,
                kind,
                (kind != VoteKind::Nullify).then_some(picked),
            );
        }
        let leads = |instance: &Instance| *instance.leader(View(newest)) == member(index);
        if self
            .honest()
            .filter_map(|actor| actor.instance.as_ref())
            .any(leads)
        {
            for value in &values[values.len() - 3..] {
                self.tell(index, View(newest), VoteKind::Notarize, Some(*value));
            }
        }
        self.push(1000, Event::Lie(index));
    }

    /// A liar's vote, to one half of the others or so.
    fn tell(&mut self, index: usize, view: View, kind: VoteKind, value: Option<ObjectId>) {
        let Params {
            ledger,
            height,
            previous,
            ..
        } = self.params(index);
        let ballot = Ballot {
            ledger,
            height,
            previous,
            view,
            kind,
            value,
        };
        let vote = self.vote(index, ballot);
        self.outcome.lied.insert(vote.member.clone());
        self.inputs.push(Input::Vote(vote));
        for to in 0..self.actors.len() {
            if self.random.percent(50) {
                self.send(index, to, self.inputs.len() - 1);
            }
        }
    }
}
