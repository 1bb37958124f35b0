//! Verdicts as files that stock OpenSSH checks (P-25).

use std::fs;
use std::path::Path;

use gdo_core::id::ObjectId;
use gdo_core::key::{NAMESPACE_VERDICT, armor};

use crate::error::CommandError;
use crate::source::Source;

/// Writes the verdicts of a checkpoint to `target`: a statement and a signature a signer each, and
/// the keys to check them with; says how.
///
/// # Errors
/// The checkpoint has no verdicts, or a file cannot be written.
pub fn verdicts(source: &Source, checkpoint: &ObjectId, target: &Path) -> Result<(), CommandError> {
    let found = source.ledger.read_checkpoint(checkpoint)?;
    if found.record.verdicts.is_empty() {
        let message = format!("checkpoint {} carries no verdicts", found.record.height);
        return Err(CommandError::no(message));
    }
    fs::create_dir_all(target).map_err(|error| cannot("make", target, &error))?;
    // A runner signed with a key of the checkpoint before; its owner has not changed since.
    write(
        &target.join("allowed_signers"),
        &found.rules.roster.allowed_signers(),
    )?;
    let mut commands = Vec::new();
    for (number, certificate) in found.record.verdicts.iter().enumerate() {
        let statement = certificate.statement().map_err(CommandError::unknown)?;
        let stem = format!("{}-{number}", statement.dapp);
        write(&target.join(format!("{stem}.json")), &statement.to_json())?;
        for signer in &certificate.signers {
            let name = format!("{stem}.{}.sig", signer.member);
            let text = armor(&signer.key, NAMESPACE_VERDICT, &signer.signature);
            write(&target.join(&name), &text)?;
            commands.push(format!(
                "ssh-keygen -Y verify -f allowed_signers -I {} -n {NAMESPACE_VERDICT} -s {name} < {stem}.json",
                signer.member
            ));
        }
    }
    write(
        &target.join("verify.sh"),
        &format!(
            "#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\n{}\n",
            commands.join("\n")
        ),
    )?;
    eprintln!(
        "gdo: wrote {} verdicts to {}; check them there with:",
        found.record.verdicts.len(),
        target.display()
    );
    commands.iter().for_each(|command| eprintln!("  {command}"));
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    fs::write(file, text).map_err(|error| cannot("write", file, &error))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::unknown(format!("cannot {verb} {}: {error}", path.display()))
}
