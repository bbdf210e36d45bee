//! Captions for what was kept, through the gate that keeps them true and varied.
//!
//! Records are worked through in windows of a fixed size. First wordings of a window are asked for side by side; the
//! gate then looks at them in the records' order, and what it refuses is asked for anew, side by side again, until
//! all have passed or given up. The next window's first wordings are fetched meanwhile: they depend on nothing that
//! was accepted. So every question follows from the records alone, whatever answers first, and a run that is stopped
//! and started again asks the same questions.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::{StreamExt, future::join, stream};

use super::{Event, Job, Stop, collect::is_about_the_item};
use crate::{
    caption::Linter,
    dataset::decode_image,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::Key,
    types::{Asked, Caption, CaptionRequest, Fault, LintRule, NoCaption, Outcome, Record, Usage},
};

/// Records of one window.
const WINDOW: usize = 128;
/// How often a caption is asked for before the record is given up.
const ATTEMPTS: u32 = 6;
/// How often a caption that costs something is asked for where only variety is missing; then the least worn wording is
/// taken.
const VARIETY_ATTEMPTS: u32 = 3;

/// The same where captions cost nothing: enough that neighbours hardly ever begin alike.
const FREE_ATTEMPTS: u32 = 24;

/// A caption, or why this record gets none.
type Settled = std::result::Result<Caption, (NoCaption, String)>;

/// A record that waits for the gate.
struct Pending {
    /// Its place in the window.
    at: usize,
    attempt: u32,
    answer: Result<Caption>,
    /// The best wording so far that breaks rules of variety alone.
    spare: Option<Caption>,
}

/// What to ask next.
struct Question {
    at: usize,
    attempt: u32,
    refusal: Option<String>,
    spare: Option<Caption>,
}

/// Who asks. When an answer ends the run, nothing more is asked, but answers under way are waited for: they are paid.
struct Desk<'a> {
    job: &'a Job,
    stopped: AtomicBool,
}

/// Captions the kept records and marks those that get no caption. Gives what all answers cost.
pub(super) async fn caption(job: &Job, records: &mut [Record]) -> Result<Usage> {
    let kept: Vec<usize> = (0..records.len()).filter(|&i| records[i].is_kept()).collect();
    let mut rules = job.lint.clone();
    // Everybody of the film counts as the cast: a name that was never heard of cannot be told from a word.
    rules.know(records.iter().filter_map(Record::character).map(str::to_owned).collect::<BTreeSet<_>>());
    let mut linter = Linter::new(rules, kept.len());
    let mut usage = Usage::default();
    let mut settled: Vec<Settled> = Vec::with_capacity(kept.len());
    {
        let windows: Vec<Vec<&Record>> =
            kept.chunks(WINDOW).map(|window| window.iter().map(|&i| &records[i]).collect()).collect();
        let desk = Desk { job, stopped: AtomicBool::new(false) };
        let mut waiting = desk.first(windows.first()).await?;
        for (number, window) in windows.iter().enumerate() {
            let gate = desk.settle(window, number * WINDOW, waiting, &mut linter, &mut usage);
            let (done, next) = join(gate, desk.first(windows.get(number + 1))).await;
            let (done, next) = match (done, next) {
                // One window ended the run; the other one only stopped for it.
                (Err(e), Err(stopped)) if e.kind() == ErrorKind::Cancelled => return Err(stopped),
                (done, next) => (done?, next?),
            };
            settled.extend(done);
            waiting = next;
            let done = settled.len() as u64;
            job.observer.notify(&Event::Captioned { done, total: kept.len() as u64 });
        }
    }
    for (&i, answer) in kept.iter().zip(settled) {
        match answer {
            Ok(caption) => records[i].caption = Some(caption),
            Err((why, reason)) => records[i].outcome = Outcome::Uncaptioned { why, reason },
        }
    }
    Ok(usage)
}

impl Desk<'_> {
    /// First wordings of a window.
    async fn first(&self, window: Option<&Vec<&Record>>) -> Result<Vec<Pending>> {
        let Some(window) = window else { return Ok(Vec::new()) };
        let questions = (0..window.len()).map(|at| Question { at, attempt: 0, refusal: None, spare: None });
        self.ask_all(window, questions.collect()).await
    }

    /// Asks side by side; the answers come in the order of the questions. Errors that concern the whole run end it.
    async fn ask_all(&self, window: &[&Record], questions: Vec<Question>) -> Result<Vec<Pending>> {
        let answers: Vec<Option<Result<Pending>>> = stream::iter(questions)
            .map(|question| async move {
                if self.stopped.load(Ordering::Relaxed) || self.job.stop.is_requested() {
                    return None;
                }
                let pending = self.ask(window[question.at], question).await;
                self.stopped.fetch_or(pending.is_err(), Ordering::Relaxed);
                Some(pending)
            })
            .buffered(self.job.limits.captions_in_flight)
            .collect()
            .await;
        let complete = answers.len();
        let answers: Vec<Pending> = answers.into_iter().flatten().collect::<Result<_>>()?;
        if answers.len() < complete {
            // Where nobody asked for it, the other window has the error that ends the run.
            return Err(Stop::error().at(Stage::Caption));
        }
        Ok(answers)
    }

    async fn ask(&self, record: &Record, question: Question) -> Result<Pending> {
        let Question { at, attempt, refusal, spare } = question;
        let request = request(self.job, record, attempt, refusal).await?;
        match self.job.captioner.caption(&request).await.at(Stage::Caption) {
            Err(e) if !is_about_the_item(&e) => Err(e),
            mut answer => {
                if let Ok(caption) = &mut answer {
                    // Captioners that ask a model say so themselves, with their prompt.
                    caption.asked.get_or_insert_with(|| Asked::new(&self.job.captioner.info(), &request));
                }
                Ok(Pending { at, attempt, answer, spare })
            }
        }
    }

    /// Brings a window, whose records begin at the place `first`, through the gate, in rounds.
    async fn settle(
        &self,
        window: &[&Record],
        first: usize,
        mut waiting: Vec<Pending>,
        linter: &mut Linter,
        usage: &mut Usage,
    ) -> Result<Vec<Settled>> {
        let mut settled: Vec<Option<Settled>> = window.iter().map(|_| None).collect();
        while !waiting.is_empty() {
            let mut again = Vec::new();
            for pending in waiting {
                let at = pending.at;
                linter.at(first + at);
                let names: Vec<&str> = window[at].subjects.iter().map(|s| s.character.as_str()).collect();
                *usage += pending.answer.as_ref().map_or_else(Error::usage, |caption| caption.usage);
                match judge(pending, &names, linter) {
                    Ok(answer) => settled[at] = Some(answer),
                    Err(question) => again.push(*question),
                }
            }
            waiting = self.ask_all(window, again).await?;
        }
        Ok(settled.into_iter().flatten().collect())
    }
}

async fn request(
    job: &Job,
    record: &Record,
    attempt: u32,
    refusal: Option<String>,
) -> Result<CaptionRequest> {
    let lost = || Error::internal(format!("record {} is kept without an image", record.id));
    let key = Key::new(record.crop.as_ref().ok_or_else(lost)?.image.as_str())?;
    let body = job.store.get(&key).await.at(Stage::Caption)?;
    let id = record.id.clone();
    let image = crate::blocking(move || decode_image(&body, &id)).await?;
    let first = CaptionRequest::first(record, image).ok_or_else(lost)?;
    Ok(CaptionRequest { attempt, refusal, ..first })
}

/// Accepts an answer, gives the record up, or asks anew.
fn judge(
    pending: Pending,
    names: &[&str],
    linter: &mut Linter,
) -> std::result::Result<Settled, Box<Question>> {
    let Pending { at, attempt, answer, mut spare } = pending;
    let attempt = attempt + 1;
    let (mut limit, why, reason) = match answer {
        Ok(mut caption) => {
            let faults = linter.check(&caption.text, names);
            if faults.is_empty() {
                linter.accept(&caption.text, names);
                return Ok(Ok(caption));
            }
            let reason = in_words(&faults, linter);
            if !faults.iter().any(|f| f.rule.is_strict()) {
                caption.faults = faults;
                if spare.as_ref().is_none_or(|s| caption.faults.len() < s.faults.len()) {
                    spare = Some(caption);
                }
            }
            (ATTEMPTS, NoCaption::Unfit, reason)
        }
        // Asking the same model about the same picture again only costs; it has had its gentler prompt already.
        Err(e) if e.kind() == ErrorKind::ContentFiltered => (0, NoCaption::Refused, e.to_string()),
        Err(e) => (ATTEMPTS, NoCaption::Failed, e.to_string()),
    };
    if let Some(spare) = &spare {
        limit = if spare.usage.is_free() { FREE_ATTEMPTS } else { limit.min(VARIETY_ATTEMPTS) };
    }
    if attempt < limit {
        return Err(Box::new(Question { at, attempt, refusal: Some(reason), spare }));
    }
    // Others were accepted since: the spare wording may have become theirs.
    let taken = spare.and_then(|mut caption| {
        caption.faults = linter.check(&caption.text, names);
        (!caption.faults.iter().any(|f| f.rule.is_strict())).then_some(caption)
    });
    Ok(match taken {
        Some(caption) => {
            linter.accept(&caption.text, names);
            Ok(caption)
        }
        None => Err((why, format!("no usable caption in {attempt} tries: {reason}"))),
    })
}

/// Why a text was refused, and what is used up already.
fn in_words(faults: &[Fault], linter: &Linter) -> String {
    let mut reason = faults.iter().map(|f| f.message.as_str()).collect::<Vec<_>>().join("; ");
    let worn = linter.worn_openers();
    if faults.iter().any(|f| f.rule == LintRule::WornOpener) && !worn.is_empty() {
        let list: Vec<String> = worn.iter().map(|opener| format!("“{opener}”")).collect();
        let _ = write!(reason, "; do not begin with {}", list.join(", "));
    }
    reason
}
