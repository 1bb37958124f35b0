//! `gdo help-reference`: the help of every command as one document (`docs/cli.md`).

use std::process::ExitCode;

use clap::Command;

use crate::error::CommandError;
use crate::output;

/// Prints the document about `command`, the whole program.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(command: Command) -> Result<ExitCode, CommandError> {
    let mut text = String::from(
        "# The commands\n\nMade of the program's own help; a test holds it against the program. \
         Standard output is data, standard error is talk. Exit codes: 0 yes, 1 no (a check failed, a \
         proposal was refused), 2 wrong use, 3 could not tell (the node is down, a disk failed).\n",
    );
    let mut command = command.term_width(100);
    command.build();
    section(&mut command, "", &mut text);
    output::line(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn section(command: &mut Command, above: &str, text: &mut String) {
    let name = format!("{above}{}", command.get_name());
    let help = command.render_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!(
        "\n## {name}\n\n```text\n{}\n```\n",
        lines.join("\n").trim_end()
    ));
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
        .map(|inner| inner.get_name().to_owned())
        .collect();
    for inner in names {
        if let Some(inner) = command.find_subcommand_mut(&inner) {
            section(inner, &format!("{name} "), text);
        }
    }
}
