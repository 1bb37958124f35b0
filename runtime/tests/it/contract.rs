//! What a validator may rely on.

use gdo_runtime::{Judgement, Reason, judge};

use crate::support::{Fixture, stdout};

#[test]
fn a_validator_passes_fails_or_says_nothing_by_its_exit_code() {
    let fixture = Fixture::new();
    for (script, expected) in [
        ("exit 0", Judgement::Pass),
        ("exit 1", Judgement::Fail),
        ("exit 70", Judgement::Inconclusive(Reason::Exit(70))),
    ] {
        let outcome = fixture.run(script);
        assert_eq!(judge(&outcome), expected, "{script}: {outcome:?}");
    }
}

#[test]
fn both_trees_and_the_context_are_there() {
    let fixture = Fixture::new();
    let outcome = fixture.run("cat /gdo/base/file /gdo/candidate/file /gdo/context.json");
    assert_eq!(
        stdout(&outcome),
        r#"basecandidate{"version":1}"#,
        "{outcome:?}"
    );
}
