//! Between detecting and cropping: each frame waits for the next few, so that its neighbours are heard.
//!
//! The frames that are held are few, and what becomes of one depends only on itself and on
//! the [`REACH`](crate::detect::REACH) frames on either side. Those before it come from the journal when a stopped run goes on, so the result
//! is the same wherever it was stopped, and in whatever batches frames travel.

use std::{collections::VecDeque, sync::Arc};

use futures::{Stream, StreamExt, stream};

use crate::{
    detect::{Seen, settle},
    error::Result,
    types::{Detection, Frame, Gap},
};

/// What comes from the detector, in the film's order.
#[derive(Debug)]
pub(super) enum Item {
    /// A frame that was searched.
    Looked(Looked),
    /// A stretch that could not be decoded.
    Gap(Gap),
}

/// A frame with what was found in it.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) frame: Frame,
    /// The detections; or why the frame could not be searched.
    pub(super) answer: std::result::Result<Vec<Detection>, String>,
    /// The same as the detector gave it, for the frame's neighbours.
    pub(super) seen: Arc<Seen>,
    /// The last few frames up to this one, for a run that goes on after it.
    pub(super) tail: Vec<Arc<Seen>>,
}

/// Amends each frame's detections by what the `reach` frames on either side say; with a reach of 0, nothing is
/// amended and nothing waits. `before` are the frames before the first one.
pub(super) fn settled(
    found: impl Stream<Item = Result<Item>>,
    before: Vec<Arc<Seen>>,
    reach: usize,
) -> impl Stream<Item = Result<Item>> {
    let mut settler = Settler { reach, before: before.into(), waiting: VecDeque::new() };
    found
        .map(Some)
        .chain(stream::once(std::future::ready(None)))
        .flat_map(move |item| stream::iter(settler.push(item)))
}

struct Settler {
    /// How many frames on either side are heard.
    reach: usize,
    /// The last frames that went on, at most `reach`.
    before: VecDeque<Arc<Seen>>,
    waiting: VecDeque<Item>,
}

impl Settler {
    /// Takes the next item, or the end, and gives what needs to wait no longer. Frames that wait when an error ends
    /// the film are not given: a later run searches them again, with their neighbours.
    fn push(&mut self, item: Option<Result<Item>>) -> Vec<Result<Item>> {
        let enough = match item {
            Some(Err(e)) => {
                self.waiting.clear();
                return vec![Err(e)];
            }
            Some(Ok(item)) => {
                self.waiting.push_back(item);
                self.reach + 1
            }
            None => 1,
        };
        let mut ready = Vec::new();
        loop {
            let frames = self.waiting.iter().filter(|i| matches!(i, Item::Looked(_))).count();
            match self.waiting.front() {
                Some(Item::Looked(_)) if frames < enough => break,
                None => break,
                _ => {}
            }
            let Some(item) = self.waiting.pop_front() else { break };
            ready.push(Ok(match item {
                Item::Looked(looked) => Item::Looked(self.amended(looked)),
                gap @ Item::Gap(_) => gap,
            }));
        }
        ready
    }

    fn amended(&mut self, mut looked: Looked) -> Looked {
        let after = self.waiting.iter().filter_map(|item| match item {
            Item::Looked(later) => Some(&*later.seen),
            Item::Gap(_) => None,
        });
        let mut near: Vec<&Seen> = self.before.iter().map(|s| &**s).collect();
        let at = near.len();
        near.push(&looked.seen);
        near.extend(after.take(self.reach));
        if looked.answer.is_ok() {
            looked.answer = Ok(settle(&near, at));
        }
        self.before.push_back(Arc::clone(&looked.seen));
        while self.before.len() > self.reach {
            self.before.pop_front();
        }
        looked.tail = self.before.iter().map(Arc::clone).collect();
        looked
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::RgbImage;

    use super::*;
    use crate::{
        detect::{REACH, View},
        error::Error,
        types::{Alternative, BoundingBox},
    };

    /// Every third frame is unsure of who the others are sure of.
    fn item(index: u64) -> Item {
        let frame = Frame::new(index, Duration::from_secs(index), RgbImage::new(8, 8));
        let sure = index % 3 != 1;
        let maybe = Alternative { character: "Ana".into(), confidence: 0.4 };
        let found = vec![Detection {
            bounding_box: BoundingBox::new(0.2, 0.2, 0.2 + index as f32 * 0.01, 0.5),
            character: sure.then(|| "Ana".into()),
            confidence: if sure { 0.9 } else { 0.4 },
            label: None,
            alternatives: if sure { Vec::new() } else { vec![maybe] },
            decided_by: "test".into(),
        }];
        let seen = Arc::new(Seen { view: View::of(&frame), found: found.clone() });
        Item::Looked(Looked { frame, answer: Ok(found), seen, tail: Vec::new() })
    }

    async fn run(items: Vec<Result<Item>>, before: Vec<Arc<Seen>>) -> Vec<Result<Looked>> {
        run_with(items, before, REACH).await
    }

    async fn run_with(items: Vec<Result<Item>>, before: Vec<Arc<Seen>>, reach: usize) -> Vec<Result<Looked>> {
        let answer: Vec<Result<Item>> = settled(stream::iter(items), before, reach).collect().await;
        answer
            .into_iter()
            .filter_map(|item| match item {
                Ok(Item::Looked(looked)) => Some(Ok(looked)),
                Ok(Item::Gap(_)) => None,
                Err(e) => Some(Err(e)),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_run_that_goes_on_anywhere_gives_the_same() {
        let whole = run((0..9).map(|i| Ok(item(i))).collect(), Vec::new()).await;
        let answers = |looked: &[Result<Looked>]| -> Vec<_> {
            looked.iter().map(|l| l.as_ref().unwrap().answer.clone().unwrap()).collect()
        };
        assert!(answers(&whole).iter().all(|found| found[0].character.is_some()), "{whole:?}");
        for stop in 1..9 {
            let tail = whole[stop - 1].as_ref().unwrap().tail.clone();
            let rest = run((stop as u64..9).map(|i| Ok(item(i))).collect(), tail).await;
            assert_eq!(answers(&rest), answers(&whole)[stop..], "from {stop}");
        }
    }

    #[tokio::test]
    async fn without_reach_nothing_is_amended_and_nothing_waits() {
        let seen = |item: Item| match item {
            Item::Looked(looked) => looked.seen.found.clone(),
            Item::Gap(_) => Vec::new(),
        };
        let raw: Vec<_> = (0..6).map(|i| seen(item(i))).collect();
        let mut items: Vec<Result<Item>> = (0..6).map(|i| Ok(item(i))).collect();
        items.push(Err(Error::invalid("the film ends here")));
        let answer = run_with(items, Vec::new(), 0).await;
        let found: Vec<_> =
            answer.iter().filter_map(|l| l.as_ref().ok()).map(|l| l.answer.clone().unwrap()).collect();
        assert_eq!(found, raw);
        assert!(answer.iter().filter_map(|l| l.as_ref().ok()).all(|l| l.tail.is_empty()));
    }

    #[tokio::test]
    async fn an_error_comes_after_what_is_certain_and_gaps_keep_nobody_waiting() {
        let mut items: Vec<Result<Item>> = (0..5).map(|i| Ok(item(i))).collect();
        items.push(Err(Error::invalid("the film ends here")));
        let answer = run(items, Vec::new()).await;
        assert_eq!(answer.iter().filter(|l| l.is_ok()).count(), 5 - REACH);
        let gap = Gap { from: Duration::ZERO, until: None, reason: "dust".into() };
        let answer: Vec<_> = settled(stream::iter([Ok(Item::Gap(gap))]), Vec::new(), REACH).collect().await;
        assert_eq!(answer.len(), 1);
    }
}
