//! Whatever a model answers, understanding it ends in a caption on one line, a refusal or a reason, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use picchu::caption::{Answer, Linter, LintRules};

fuzz_target!(|text: &str| {
    if let Answer::Caption(caption) = Answer::of_text(text) {
        assert!(!caption.is_empty() && !caption.chars().any(char::is_control), "{caption:?}");
        let mut linter = Linter::new(LintRules::default(), 3);
        linter.check(&caption, &["Penny", "Big Bunny"]);
        linter.accept(&caption, &["Penny"]);
        linter.check(&caption, &["Penny"]);
    }
    if let Ok(input) = serde_json::from_str(text) {
        let _ = Answer::of_tool(&input);
    }
});
