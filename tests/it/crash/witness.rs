//! The witness: what must hold of a ledger after every kill, before anybody repairs it.
//!
//! **Invariants**: it only reads; it remembers what it saw, and nothing of that may ever be undone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gdo_core::id::{DappName, Height, ObjectId, Seq};
use gdo_core::verdict::Outcome;
use gdo_ledger::{Audit, Ledger};
use gdo_node::refs::Refs;

/// What was seen of a ledger.
#[derive(Debug)]
pub struct Witness {
    ledger: Ledger,
    refs: Refs,
    /// The dapp that must have passed every checkpoint that includes something.
    dapp: Option<DappName>,
    genesis: Option<ObjectId>,
    main: Option<ObjectId>,
    own_chain: Option<(ObjectId, Seq)>,
    included: BTreeMap<ObjectId, Height>,
    acknowledged: BTreeSet<ObjectId>,
}

impl Witness {
    /// Begins to watch a ledger.
    ///
    /// # Panics
    /// It cannot be read.
    #[track_caller]
    pub fn new(repository: &Path, dapp: Option<&str>) -> Self {
        let mut witness = Self {
            ledger: Ledger::open_clone(repository).expect("a ledger"),
            refs: Refs::new("main"),
            dapp: dapp.map(|name| name.parse().expect("a dapp's name")),
            genesis: None,
            main: None,
            own_chain: None,
            included: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
        };
        witness.look();
        witness
    }

    /// The first checkpoint.
    pub fn genesis(&self) -> ObjectId {
        self.genesis.expect("it was seen")
    }

    /// A pusher was told that the node has its proposal.
    pub fn acknowledge(&mut self, proposal: ObjectId) {
        self.acknowledged.insert(proposal);
    }

    /// Whether a checkpoint that was seen includes a proposal.
    pub fn has_included(&self, proposal: ObjectId) -> bool {
        self.included.contains_key(&proposal)
    }

    /// The proposals that pushers were told are taken.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Looks at the ledger while no node runs.
    ///
    /// # Panics
    /// Something that was promised does not hold.
    #[track_caller]
    pub fn look(&mut self) {
        self.look_at_main();
        self.look_at_own_chain();
        for proposal in &self.acknowledged {
            let open = || self.read_ref(&self.refs.proposal(*proposal));
            assert!(
                self.included.contains_key(proposal) || open() == Some(*proposal),
                "proposal {proposal} was acknowledged, and is neither merged nor open"
            );
        }
    }

    fn read_ref(&self, name: &str) -> Option<ObjectId> {
        self.ledger
            .read_ref(name)
            .expect("a ref is never half written")
    }

    /// main only ever moves on, and everything on the way has its verdict.
    fn look_at_main(&mut self) {
        let main = self.read_ref(&self.refs.main()).expect("main is there");
        let mut at = main;
        while Some(at) != self.main {
            let record = self.ledger.read_checkpoint_record(&at);
            let record = record.unwrap_or_else(|error| panic!("checkpoint {at}: {error}"));
            assert!(
                record.aside.is_empty(),
                "nothing here is to be set aside: {record:?}"
            );
            for included in &record.included {
                let proposal = included.proposal.expect("the test makes proposals alone");
                let before = self.included.insert(proposal, record.height);
                assert_eq!(before, None, "proposal {proposal} was merged twice");
            }
            if let Some(dapp) = &self.dapp
                && !record.included.is_empty()
            {
                let passed = record.verdicts.iter().any(|verdict| {
                    let statement = verdict.statement().expect("a statement");
                    verdict.verify_signatures().expect("signed");
                    statement.dapp == *dapp && statement.outcome == Outcome::Pass
                });
                assert!(
                    passed,
                    "checkpoint {} has no verdict of {dapp}",
                    record.height
                );
            }
            match record.prev {
                Some(prev) => at = prev,
                None => {
                    assert_eq!(self.main, None, "main does not go on from where it was");
                    self.genesis = Some(at);
                    break;
                }
            }
        }
        self.main = Some(main);
    }

    /// The node's own chain of blocks only ever grows, without gap or fork.
    fn look_at_own_chain(&mut self) {
        let tips = self.ledger.list_refs(&self.refs.blocks());
        let tips = tips.expect("refs are readable");
        assert!(tips.len() <= 1, "one key has one chain: {tips:?}");
        let Some((_, tip)) = tips.first() else {
            assert_eq!(self.own_chain, None, "the chain is gone");
            return;
        };
        let known = self.own_chain.map(|(id, _)| id);
        let mut numbers = Vec::new();
        let mut next = Some(*tip);
        while next != known {
            let id = next.expect("the chain goes on from where it was");
            let block = self.ledger.read_block(&id).expect("a block");
            numbers.push((id, block.trailers.seq));
            next = block.trailers.prev;
        }
        for (id, seq) in numbers.into_iter().rev() {
            let expected = self.own_chain.map_or(Seq(0), |(_, last)| last.next());
            assert_eq!(seq, expected, "a gap in the chain of the node's key");
            self.own_chain = Some((id, seq));
        }
    }

    /// Audits the whole ledger, checkpoint by checkpoint; gives the number of proposals merged.
    ///
    /// # Panics
    /// Something does not hold.
    #[track_caller]
    pub fn audit(&self) -> usize {
        let main = self.main.expect("it was seen");
        let mut audit = Audit::new(&self.ledger, "main", &main).expect("a chain of checkpoints");
        let mut merged = 0;
        while let Some(checkpoint) = audit.next_checkpoint().expect("every checkpoint holds") {
            merged += checkpoint.record.included.len();
        }
        assert_eq!(merged, self.included.len());
        merged
    }
}
