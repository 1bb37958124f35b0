//! Commits together: whoever waits for one is served by the thread whose turn it is.
//!
//! Syncing takes a small computer's card tens of milliseconds, however little there is to sync. So the
//! thread that holds the commit takes along what all others wait for, and many small objects that
//! come at once cost about as many syncs as one.
//!
//! **Invariants**: nobody is told yes before the records of its changes are durable and indexed; a
//! failure of the disk is told to the thread that saw it, and the others try for themselves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Change, Log, lock};
use crate::error::StoreError;

/// Changes that wait for a commit.
pub(super) struct Ticket {
    changes: Vec<Change>,
    /// The packs that must not have failed.
    rest_on: BTreeSet<u32>,
    answer: Mutex<Answer>,
}

enum Answer {
    Waiting,
    /// They were committed, or cannot be.
    Given(Result<(), StoreError>),
    /// The commit failed for another thread.
    Again,
}

impl Ticket {
    fn give(&self, answer: Answer) {
        *lock(&self.answer) = answer;
    }

    fn take(&self) -> Answer {
        std::mem::replace(&mut lock(&self.answer), Answer::Waiting)
    }
}

impl Log {
    /// Makes durable and indexes everything that was appended, and the changes with it, if none of
    /// the packs has failed in which they rest on something that was not durable.
    ///
    /// # Errors
    /// The disk fails or is full. What was appended may be gone then; what was committed is not.
    pub(crate) fn commit(
        &self,
        changes: &[Change],
        rest_on: &BTreeSet<u32>,
    ) -> Result<(), StoreError> {
        let own = Arc::new(Ticket {
            changes: changes.to_vec(),
            rest_on: rest_on.clone(),
            answer: Mutex::new(Answer::Waiting),
        });
        lock(&self.queue).push(Arc::clone(&own));
        loop {
            let held = lock(&self.commit);
            match own.take() {
                Answer::Waiting => self.commit_queue(&held)?,
                Answer::Given(result) => return result,
                Answer::Again => lock(&self.queue).push(Arc::clone(&own)),
            }
        }
    }

    /// Commits what waits, and answers all of it; a failure of the disk is the caller's answer.
    fn commit_queue(&self, held: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let tickets = std::mem::take(&mut *lock(&self.queue));
        let mut appended = Vec::new();
        for ticket in tickets {
            match self.append_changes(held, &ticket) {
                Ok(packs) => appended.push((ticket, packs)),
                Err(error) => ticket.give(Answer::Given(Err(error))),
            }
        }
        if let Err(error) = self.flush(held) {
            for (ticket, _) in appended {
                ticket.give(Answer::Again);
            }
            return Err(error);
        }
        for (ticket, packs) in appended {
            // Making room for a later change may have failed, and taken with it what this one needs.
            let failed = packs
                .intersection(&lock(&self.writer).failed)
                .next()
                .copied();
            ticket.give(Answer::Given(match failed {
                Some(pack) => Err(StoreError::PackFailed { pack }),
                None => Ok(()),
            }));
        }
        Ok(())
    }

    /// Appends the records of changes; gives the packs that they are in or rest on.
    fn append_changes(
        &self,
        held: &MutexGuard<'_, ()>,
        ticket: &Ticket,
    ) -> Result<BTreeSet<u32>, StoreError> {
        let mut packs = ticket.rest_on.clone();
        for change in &ticket.changes {
            packs.insert(self.append_change(held, change, &ticket.rest_on)?);
        }
        Ok(packs)
    }

    /// How many threads wait for a commit.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.queue).len()
    }
}
