use super::*;
use crate::types::Character;

const NONE: [&str; 0] = [];

fn broken(text: &str, subjects: &[&str], cast: &[&str]) -> Vec<String> {
    check(text, subjects, cast).err().unwrap_or_default().into_iter().map(|f| f.message).collect()
}

fn rules_of(text: &str, subjects: &[&str]) -> Vec<LintRule> {
    let penny = Character {
        name: "Penny".into(),
        description: "a small blue penguin with a yellow scarf".into(),
        ..Character::default()
    };
    let chip = Character { name: "Chip".into(), description: "an orange fox".into(), ..Character::default() };
    let linter = Linter::new(LintRules::for_cast(&Cast { characters: vec![penny, chip] }), 10);
    linter.check(text, subjects).into_iter().map(|f| f.rule).collect()
}

#[test]
fn length_is_counted_in_characters() {
    assert!(broken("äöü", &NONE, &NONE).is_empty());
    assert!(broken(&"ö".repeat(1024), &NONE, &NONE).is_empty());
    assert_eq!(broken(&"ö".repeat(1025), &NONE, &NONE).len(), 1);
    assert_eq!(broken("ab", &NONE, &NONE).len(), 1);
    assert_eq!(broken("     ", &NONE, &NONE).len(), 1);
    assert_eq!(broken("One.\nTwo.", &NONE, &NONE), ["has line breaks or other control characters"]);
}

#[test]
fn names_are_whole_words() {
    let cast = ["Ann", "Anna", "Big Anna", "Mr. T.", "Zoë"];
    assert!(broken("Ann's picture.", &["Ann"], &cast).is_empty());
    assert_eq!(broken("Anna is here.", &["Ann"], &cast).len(), 2);
    assert!(broken("Big Anna is here.", &["Big Anna"], &cast).is_empty());
    assert_eq!(broken("Big Anna is here.", &["Anna"], &cast).len(), 2);
    assert!(broken("Here stands Mr. T.", &["Mr. T."], &cast).is_empty());
    assert!(broken("Zoë, seen.", &["Zoë"], &cast).is_empty());
    assert!(broken("Channel.", &NONE, &["anne", "han"]).is_empty());
    assert!(broken("An olive picture of Ann.", &["Ann"], &["Olive", "Ann"]).is_empty());
}

#[test]
fn names_with_line_breaks_match_their_clean_form() {
    assert!(broken("Big Bunny is seen.", &["Big\nBunny"], &["Big\nBunny"]).is_empty());
    assert_eq!(broken("Somebody is seen.", &["Bunny"], &["Bunny"]), ["does not name Bunny"]);
}

#[test]
fn ugly_answers_are_judged_rule_by_rule() {
    use LintRule::*;
    for (text, subjects, expected) in [
        ("Penny 🐧🎈 leaps over the stream, splash!", &["Penny"][..], vec![]),
        ("Penny springt über den Bach, während es schneit.", &["Penny"], vec![]),
        ("ペニーは雪の中で遊んでいる。", &["Penny"], vec![Name]),
        ("“Penny” and \"Chip\" argue about 'the map'.", &["Penny", "Chip"], vec![]),
        ("Pennywise walks down the street.", &["Penny"], vec![Name]),
        ("Penny eats microchips with Chippy.", &["Penny"], vec![]),
        ("Penny hides behind Chip.", &["Penny"], vec![Stranger]),
        ("This image shows Penny in the snow.", &["Penny"], vec![Opener]),
        ("An animated character named Penny waves.", &["Penny"], vec![Opener]),
        ("Penny, a small blue penguin, waves.", &["Penny"], vec![Looks]),
        ("Penny stares at an orange fox on a poster.", &["Penny"], vec![]),
        ("**Penny** waves\nat us", &["Penny"], vec![Plain, Plain]),
        ("", &["Penny"], vec![Length, Name]),
        ("{\"caption\": \"Penny waves\"}", &["Penny"], vec![Plain, Opener]),
    ] {
        assert_eq!(rules_of(text, subjects), expected, "{text}");
    }
    let long = format!("Penny {}", "runs on and on ".repeat(200));
    assert!(rules_of(&long, &["Penny"]).contains(&Length));
}

#[test]
fn equal_and_nearly_equal_captions_are_told_apart() {
    let mut linter = Linter::new(LintRules::default(), 3);
    let text =
        "Ann walks along the quiet river at dawn while a heron watches her from the reeds near the bridge.";
    linter.accept(text, &["Ann"]);
    linter.at(100); // far away, where it may begin alike
    let rules =
        |text: &str| -> Vec<LintRule> { linter.check(text, &["Ann"]).into_iter().map(|f| f.rule).collect() };
    assert_eq!(rules(text), [LintRule::Equal]);
    assert_eq!(rules(&text.replace("heron", "stork")), [LintRule::NearIdentical]);
    assert!(rules("Ann sleeps under a tree.").is_empty());
}

#[test]
fn the_report_counts_what_is_there() {
    let item = |n: usize, text: &str| Item {
        record: format!("r{n}"),
        text: text.to_owned(),
        subjects: vec!["Ann".to_owned()],
    };
    let mut items: Vec<Item> =
        (0..6).map(|n| item(n, &format!("Ann runs past house {n} a{n} b{n} c{n}."))).collect();
    items.push(item(6, "This image shows Ann."));
    items.push(item(7, "Nobody at all."));
    let report = report(&LintRules::default(), &items);
    assert_eq!((report.captions, report.words.shortest, report.words.longest), (8, 3, 8));
    assert_eq!(report.names["Ann"], 7);
    assert_eq!(report.openers[0], report::Counted { text: "⟨name⟩ runs past".into(), captions: 6 });
    assert_eq!(report.by_rule()[&LintRule::WornOpener], 5, "neighbours may not begin alike");
    assert!(report.is_broken());
    assert!(report.to_string().contains("8 captions"));
    let nothing = super::report(&LintRules::default(), &[]);
    assert!(nothing.to_string().contains("no rule is broken"));
}
