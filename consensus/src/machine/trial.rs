//! What would become of a block: dry runs, which change nothing.

use gdo_core::checkpoint::Reason;
use gdo_core::delta::Delta;
use gdo_core::id::ObjectId;
use gdo_core::policy::Lane;

use super::Machine;
use crate::cut::{Cut, Rulings};
use crate::error::EntryError;
use crate::facts::BlockFacts;
use crate::verdicts::{Question, question};
use crate::window::Window;

/// What the next cut does with a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is included, if the dapps pass it.
    Included,
    /// It is set aside.
    Aside(Reason),
    /// It waits: for approvals, for what it builds on, or for its turn.
    Open,
    /// The window does not hold it.
    Unknown,
}

/// A dry run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trial {
    /// What the next cut would do with the block.
    pub fate: Fate,
    /// The block's lane by policy(K).
    pub lane: Lane,
    /// What the dapps would be asked about "included before it, plus it"; empty unless included.
    pub questions: Vec<Question>,
    /// That candidate as changes of tree(K).
    pub delta: Delta,
}

impl Machine {
    /// What the next cut, were it made now, would do with a block of the window.
    #[must_use]
    pub fn fate(&mut self, block: &ObjectId) -> Fate {
        fate(&mut self.window, block).0
    }

    /// What would become of a block if it came now. Nothing changes.
    ///
    /// # Errors
    /// As for a block that comes.
    pub fn try_block(&self, facts: BlockFacts) -> Result<Trial, EntryError> {
        let mut window = self.window.clone();
        let id = facts.id();
        window.insert(facts)?;
        let (fate, cut) = fate(&mut window, &id);
        let lane = window
            .slot_of(&id)
            .map_or(Lane::Final, |at| window.slot(at).lane);
        let mut trial = Trial {
            fate,
            lane,
            questions: Vec::new(),
            delta: Delta::new(),
        };
        let place = cut
            .included
            .iter()
            .position(|included| included.block == id);
        if let Some(place) = place {
            let blocks = place + 1;
            let under = window.dapps_under(&id);
            for dapp in &under {
                let found = window.base().dapps.get(dapp);
                let scope = found.map(|found| found.manifest.validator.scope);
                let asked = scope.and_then(|scope| question(&window, &cut, dapp, scope, blocks));
                trial.questions.extend(asked);
            }
            let ids = cut.included[..blocks]
                .iter()
                .map(|included| &included.block);
            trial.delta = window.delta_of(ids);
        }
        Ok(trial)
    }
}

fn fate(window: &mut Window, block: &ObjectId) -> (Fate, Cut) {
    let cut = Cut::of(window, &Rulings::default());
    let fate = if cut.includes(block) {
        Fate::Included
    } else if let Some(reason) = cut.reason_of(block) {
        Fate::Aside(reason)
    } else if window.contains(block) {
        Fate::Open
    } else {
        Fate::Unknown
    };
    (fate, cut)
}
