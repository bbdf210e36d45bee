//! A form about one image, as people fill it in where picchu's own page is not used.

use crate::{
    error::{Error, Result, Stage},
    types::{Decision, Review},
};

/// Longest caption, name or reason that is taken, in bytes. The rules for captions are far stricter.
const LONGEST: usize = 20_000;

/// The answers of one person about one image. Empty answers are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Form {
    /// Whether it is good for training; `None` where nothing was said.
    pub(crate) good: Option<bool>,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// Who it shows.
    pub(crate) character: Option<String>,
    /// Its caption.
    pub(crate) caption: Option<String>,
}

/// What the form said when it was handed out: answers that repeat it change nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shown {
    pub(crate) character: Option<String>,
    pub(crate) caption: Option<String>,
}

impl Form {
    /// The decisions that the answers are, one millisecond after another, so that logs keep their order. A rejection comes
    /// last: it stands, whatever else was said. None where nothing was said.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a text that is too long.
    pub(crate) fn reviews(
        &self,
        record: &str,
        shown: &Shown,
        who: &str,
        time_ms: u64,
    ) -> Result<Vec<Review>> {
        let said = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
        };
        let news = |text: &Option<String>, before: &Option<String>| {
            said(text).filter(|t| said(before).as_ref() != Some(t))
        };
        let mut decisions = Vec::new();
        decisions
            .extend(news(&self.character, &shown.character).map(|character| Decision::Rename { character }));
        decisions.extend(news(&self.caption, &shown.caption).map(|caption| Decision::Edit { caption }));
        match self.good {
            Some(true) if decisions.is_empty() => decisions.push(Decision::Accept),
            Some(false) => {
                let reason = said(&self.reason).unwrap_or_else(|| "no reason given".into());
                decisions.push(Decision::Reject { reason });
            }
            // A new name or caption says that the image is good.
            Some(true) | None => {}
        }
        let review =
            |(time_ms, decision)| Review { record: record.into(), decision, reviewer: who.into(), time_ms };
        decisions.iter().try_for_each(check)?;
        Ok((time_ms..).zip(decisions).map(review).collect())
    }
}

/// Text of people is bounded before it is kept.
pub(crate) fn check(decision: &Decision) -> Result<()> {
    let (what, text) = match decision {
        Decision::Reject { reason } => ("reason", reason),
        Decision::Edit { caption } => ("caption", caption),
        Decision::Rename { character } => ("name", character),
        Decision::Accept | Decision::Recrop { .. } | Decision::Undo => return Ok(()),
    };
    if text.trim().is_empty() || text.len() > LONGEST {
        return Err(Error::invalid(format!("a {what} has 1 to {LONGEST} bytes; this has {}", text.len()))
            .at(Stage::Review));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::Judgement;

    fn shown() -> Shown {
        Shown { character: Some("Mayu".into()), caption: Some("Mayu runs".into()) }
    }

    fn form(good: Option<bool>, character: &str, caption: &str) -> Form {
        Form { good, reason: None, character: Some(character.into()), caption: Some(caption.into()) }
    }

    fn judged(form: &Form) -> Option<Judgement> {
        Judgement::of(&form.reviews("a", &shown(), "ann", 5).unwrap())
    }

    #[test]
    fn what_was_left_as_it_was_changes_nothing() {
        let same = form(Some(true), "Mayu", " Mayu runs\n").reviews("a", &shown(), "ann", 5).unwrap();
        assert_eq!(same.iter().map(|r| &r.decision).collect::<Vec<_>>(), [&Decision::Accept]);
        assert_eq!(judged(&form(None, "Mayu", "Mayu runs")), None);
        assert_eq!(judged(&form(None, "", "")), None);
    }

    #[test]
    fn a_rejection_stands_whatever_else_was_said() {
        let judged = judged(&form(Some(false), "Chip", "Chip runs")).unwrap();
        assert_eq!(judged.rejected.as_deref(), Some("no reason given"));
        assert_eq!(
            (judged.character.as_deref(), judged.caption.as_deref()),
            (Some("Chip"), Some("Chip runs"))
        );
    }

    #[test]
    fn logs_keep_the_order_of_one_form() {
        let reviews = form(Some(false), "Chip", "Chip runs").reviews("a", &shown(), "ann", 5).unwrap();
        let merged = crate::review::merge_logs(std::slice::from_ref(&reviews)).reviews;
        assert_eq!(merged, reviews);
    }

    #[test]
    fn texts_are_bounded() {
        let error =
            form(Some(true), "Mayu", &"a".repeat(20_001)).reviews("a", &shown(), "ann", 5).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
    }
}
