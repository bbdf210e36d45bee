//! What the workers of a loop answered.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    error::{Error, ErrorKind, Result},
    review::{Form, Shown, parse_moment},
    types::{Decision, Review},
};

/// Who decides where workers disagree.
const MAJORITY: &str = "a2i:majority";

/// The file `output.json` of a loop.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    input_content: Input,
    human_answers: Vec<HumanAnswer>,
}

#[derive(Debug, Deserialize)]
struct Input {
    record: String,
    #[serde(default)]
    character: String,
    #[serde(default)]
    caption: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HumanAnswer {
    answer_content: Map<String, Value>,
    submission_time: String,
    worker_id: String,
}

/// The decisions of a loop's workers, and of their majority where they disagree.
pub(super) fn reviews(record: &str, body: &[u8]) -> Result<Vec<Review>> {
    let output: Output = serde_json::from_slice(body)
        .map_err(|e| Error::new(ErrorKind::Decode, format!("its answers are not understood: {e}")))?;
    if output.input_content.record != record {
        let message =
            format!("its answers are about record {:?}, not {record:?}", output.input_content.record);
        return Err(Error::new(ErrorKind::Decode, message));
    }
    let Input { character, caption, .. } = output.input_content;
    let shown = Shown { character: Some(character), caption: Some(caption) };
    let mut reviews = Vec::new();
    let mut verdicts = Vec::new();
    for answer in &output.human_answers {
        let form = form(&answer.answer_content)?;
        let time_ms = parse_moment(&answer.submission_time).ok_or_else(|| {
            let message = format!("an answer was given at {:?}, which is no time", answer.submission_time);
            Error::new(ErrorKind::Decode, message)
        })?;
        verdicts.extend(form.good);
        let who: String = answer.worker_id.chars().take(200).collect();
        reviews.extend(form.reviews(record, &shown, &format!("a2i:{who}"), time_ms)?);
    }
    reviews.extend(majority(record, &verdicts, &reviews));
    Ok(reviews)
}

/// What most workers say, where not all do: decided after all of them. None where as many say yes as no.
fn majority(record: &str, verdicts: &[bool], reviews: &[Review]) -> Option<Review> {
    let yes = verdicts.iter().filter(|good| **good).count();
    let no = verdicts.len() - yes;
    if yes == 0 || no == 0 || yes == no {
        return None;
    }
    let decision = if yes > no {
        Decision::Accept
    } else {
        let mut reasons: Vec<&str> = reviews
            .iter()
            .filter_map(|review| match &review.decision {
                Decision::Reject { reason } => Some(reason.as_str()),
                _ => None,
            })
            .collect();
        reasons.dedup();
        Decision::Reject { reason: reasons.join("; ") }
    };
    let time_ms = reviews.iter().map(|review| review.time_ms).max()? + 1;
    Some(Review { record: record.into(), decision, reviewer: MAJORITY.into(), time_ms })
}

fn form(content: &Map<String, Value>) -> Result<Form> {
    let good = match (chosen(content, "accept"), chosen(content, "reject")) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
        (true, true) => {
            return Err(Error::new(ErrorKind::Decode, "an answer both accepts and rejects the image"));
        }
    };
    Ok(Form {
        good,
        reason: text(content, "reason")?,
        character: text(content, "character")?,
        caption: text(content, "caption")?,
    })
}

/// Whether a button was chosen: `{"accept": {"accept": true}}`.
fn chosen(content: &Map<String, Value>, name: &str) -> bool {
    match content.get(name) {
        Some(Value::Bool(on)) => *on,
        Some(Value::Object(values)) => values.values().any(|on| *on == Value::Bool(true)),
        _ => false,
    }
}

fn text(content: &Map<String, Value>, name: &str) -> Result<Option<String>> {
    match content.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::new(ErrorKind::Decode, format!("the answer to {name:?} is not a text"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::review::{Judgement, conflicts};

    fn answer(who: &str, second: u8, good: bool, caption: &str) -> Value {
        json!({
            "answerContent": {
                "accept": {"accept": good}, "reject": {"reject": !good},
                "character": "Mayu", "caption": caption, "reason": if good { "" } else { "blurred" },
            },
            "submissionTime": format!("2026-11-24T14:34:{second:02}.000Z"),
            "workerId": who,
            "workerMetadata": {"identityData": {"sub": "x"}},
        })
    }

    fn output(answers: &[Value]) -> Vec<u8> {
        let input = json!({"record": "a", "character": "Mayu", "caption": "Mayu runs"});
        json!({"flowDefinitionArn": "f", "humanLoopName": "l", "inputContent": input, "humanAnswers": answers})
            .to_string()
            .into()
    }

    #[test]
    fn the_majority_decides_and_the_disagreement_stays() {
        let body = output(&[
            answer("w1", 1, true, "Mayu runs"),
            answer("w2", 2, true, "Mayu runs"),
            answer("w3", 9, false, ""),
        ]);
        let reviews = reviews("a", &body).unwrap();
        assert_eq!(reviews.last().unwrap().reviewer, "a2i:majority");
        assert_eq!(Judgement::of(&reviews).unwrap().rejected, None);
        let conflict = &conflicts(&reviews)[0];
        assert_eq!(conflict.says["a2i:w3"].rejected.as_deref(), Some("blurred"));
        let body = output(&[
            answer("w1", 9, true, "Mayu runs"),
            answer("w2", 2, false, ""),
            answer("w3", 1, false, ""),
        ]);
        let judged = Judgement::of(&super::reviews("a", &body).unwrap()).unwrap();
        assert_eq!(judged.rejected.as_deref(), Some("blurred"));
    }

    #[test]
    fn workers_who_agree_need_no_majority() {
        let body = output(&[answer("w1", 1, true, "Mayu runs"), answer("w2", 2, true, "Mayu jumps")]);
        let reviews = reviews("a", &body).unwrap();
        assert_eq!(reviews.len(), 2);
        assert_eq!(reviews[1].decision, Decision::Edit { caption: "Mayu jumps".into() });
        let tie = output(&[answer("w1", 1, true, "Mayu runs"), answer("w2", 2, false, "")]);
        assert_eq!(super::reviews("a", &tie).unwrap().len(), 2, "the last counts");
        assert!(super::reviews("a", &output(&[])).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let mut both = answer("w1", 1, true, "");
        both["answerContent"]["reject"] = json!({"reject": true});
        let mut undated = answer("w1", 1, true, "");
        undated["submissionTime"] = json!("yesterday");
        let mut list = answer("w1", 1, true, "");
        list["answerContent"]["caption"] = json!(["a"]);
        for (record, body) in [
            ("a", b"{".to_vec()),
            ("b", output(&[])),
            ("a", output(&[both])),
            ("a", output(&[undated])),
            ("a", output(&[list])),
        ] {
            assert_eq!(reviews(record, &body).unwrap_err().kind(), ErrorKind::Decode);
        }
    }
}
