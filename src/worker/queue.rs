//! Films from a queue, until the worker is asked to end or the queue is empty.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::future::{self, Either};
use serde::Serialize;
use serde_json::json;

use super::{
    Level, Outcome, Upload, Worker,
    report::{Failure, FilmReport, Reports, of_message},
};
use crate::{
    aws::{Message, Queue},
    error::{Error, ErrorKind, Result},
};

/// How long a message stays with a worker without a sign of life.
const HOLD: Duration = Duration::from_mins(2);
/// How long one question for a message waits.
const WAIT: Duration = Duration::from_secs(20);
/// How long the copy of an event waits while another worker is at work on its film.
const BUSY_DELAY: Duration = Duration::from_mins(2);
/// How long a failed film rests before its second attempt; longer before later ones.
const FIRST_REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_mins(15);
/// How long to wait when the queue does not answer.
const NO_ANSWER: Duration = Duration::from_secs(5);

/// What came of a worker's time at a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Messages that are gone from the queue: their films are done, or none.
    pub finished: u64,
    /// Messages that went to the dead-letter queue.
    pub given_up: u64,
    /// Messages that come again.
    pub put_back: u64,
}

/// What is to become of a message.
enum Fate {
    Finished,
    GivenUp,
    PutBack(Duration),
}

impl Worker {
    /// Works on the films of a queue, one at a time, until the worker is asked to end; with `until_empty`, also until
    /// nothing waits in the queue any more.
    ///
    /// Each message stays with the worker for as long as it works. A film that fails is tried again, later and later, as
    /// often as the queue allows; what can never succeed, and what failed the last time, goes to the dead-letter queue,
    /// and its report says why.
    ///
    /// # Errors
    /// When the queue refuses; a queue that does not answer is asked again.
    pub async fn serve(&self, queue: &Queue, until_empty: bool) -> Result<Served> {
        let mut served = Served::default();
        // Until when a message comes again that this worker put back.
        let mut awaited = Instant::now();
        self.log.say(Level::Info, "serving", json!({"until_empty": until_empty}));
        while !self.halt.is_requested() {
            self.pulse.beat();
            // A message that arrives in the moment of the request to end comes back to the queue by itself.
            let received =
                match future::select(pin!(queue.receive(WAIT, HOLD)), pin!(self.halt.requested())).await {
                    Either::Left((received, _)) => received,
                    Either::Right(_) => break,
                };
            match received {
                Ok(Some(message)) => match self.message(queue, &message).await {
                    Ok(Fate::Finished) => served.finished += 1,
                    Ok(Fate::GivenUp) => served.given_up += 1,
                    Ok(Fate::PutBack(rest)) => {
                        served.put_back += 1;
                        awaited = awaited.max(Instant::now() + rest + Duration::from_secs(1));
                    }
                    // The message comes back when its time is up; what is done is found done.
                    Err(e) => {
                        self.log.say(Level::Error, "message_failed", json!(Failure::from(&e)));
                        served.put_back += 1;
                        awaited = Instant::now() + HOLD;
                    }
                },
                Ok(None)
                    if until_empty
                        && Instant::now() >= awaited
                        && queue.is_empty().await.unwrap_or(false) =>
                {
                    break;
                }
                Ok(None) => {}
                Err(e) if e.is_retryable() => {
                    self.log.say(Level::Warn, "queue_unavailable", json!(Failure::from(&e)));
                    let _ = tokio::time::timeout(NO_ANSWER, self.halt.requested()).await;
                }
                Err(e) => return Err(e),
            }
        }
        self.log.say(Level::Info, "served", json!(served));
        Ok(served)
    }

    async fn message(&self, queue: &Queue, message: &Message) -> Result<Fate> {
        let upload = match Upload::from_event(&message.body) {
            Ok(Some(upload)) => upload,
            Ok(None) => {
                self.log.say(Level::Info, "ignored", json!({"message": message.id, "reason": "no new film"}));
                queue.delete(message).await?;
                return Ok(Fate::Finished);
            }
            Err(e) => return self.give_up_message(queue, message, &e).await,
        };
        let hold = async {
            loop {
                tokio::time::sleep(HOLD / 3).await;
                // The lease on the dataset protects the work even where the message gets to another worker.
                if let Err(e) = queue.hold(message, HOLD).await {
                    self.log.say(Level::Warn, "not_held", json!(Failure::from(&e)));
                }
            }
        };
        let outcome = match future::select(Box::pin(self.film(&upload, message.receives)), pin!(hold)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((never, _)) => never,
        };
        match outcome {
            Outcome::Done(_) | Outcome::Ignored(_) | Outcome::Gone | Outcome::Superseded => {
                queue.delete(message).await?;
                Ok(Fate::Finished)
            }
            Outcome::Busy => {
                queue.postpone(message, BUSY_DELAY).await?;
                Ok(Fate::PutBack(BUSY_DELAY))
            }
            Outcome::Stopped => {
                // For another worker, at once.
                queue.hold(message, Duration::ZERO).await?;
                Ok(Fate::PutBack(Duration::ZERO))
            }
            Outcome::Failed(e) if may_pass(&e) && message.receives < queue.max_receives() => {
                let rest = rest(message.receives);
                queue.hold(message, rest).await?;
                Ok(Fate::PutBack(rest))
            }
            Outcome::Failed(e) => {
                queue.give_up(message, &e.to_string()).await?;
                Ok(Fate::GivenUp)
            }
        }
    }

    /// A message that names no film will name none the next time either.
    async fn give_up_message(&self, queue: &Queue, message: &Message, error: &Error) -> Result<Fate> {
        let (name, beginning) = of_message(&message.body);
        let log = self.log.about("run", crate::store::token());
        log.say(
            Level::Error,
            "message_rejected",
            json!({"message": message.id, "report": name, "why": Failure::from(error)}),
        );
        let report = FilmReport {
            schema_version: 1,
            outcome: "rejected".into(),
            upload: None,
            dataset: None,
            worker: log.field("worker").to_owned(),
            run: log.field("run").to_owned(),
            attempt: message.receives,
            time_ms: crate::now_ms(),
            summary: None,
            error: Some(Failure::from(error)),
            message: Some(beginning),
        };
        Reports::of(&self.settings)?.write(&name, &report).await?;
        queue.give_up(message, &error.to_string()).await?;
        log.metrics("rejected", &[("Films", "Count", 1.0)]);
        Ok(Fate::GivenUp)
    }
}

/// Whether another attempt may succeed: services come back, and permissions and settings are mended. A film that cannot
/// be decoded stays so, and a budget that is used up must not be spent again by every attempt.
fn may_pass(error: &Error) -> bool {
    error.is_retryable()
        || matches!(
            error.kind(),
            ErrorKind::Config | ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::Unavailable
        )
}

fn rest(receives: u32) -> Duration {
    FIRST_REST.saturating_mul(1 << receives.saturating_sub(1).min(10)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_rest_longer_each_time_and_poison_does_not_come_again() {
        let rests: Vec<u64> = (1..=7).map(|receives| rest(receives).as_secs()).collect();
        assert_eq!(rests, [30, 60, 120, 240, 480, 900, 900]);
        for (kind, again) in [
            (ErrorKind::Throttled, true),
            (ErrorKind::Unavailable, true),
            (ErrorKind::PermissionDenied, true),
            (ErrorKind::Decode, false),
            (ErrorKind::InvalidInput, false),
            (ErrorKind::QuotaExceeded, false),
            (ErrorKind::Internal, false),
        ] {
            assert_eq!(may_pass(&Error::new(kind, "")), again, "{kind}");
        }
    }
}
