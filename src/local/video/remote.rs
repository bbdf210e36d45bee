//! Answers the decoder's questions for the bytes of a film that lies elsewhere.
//!
//! The program may have been taken over by a hostile film: what it may ask for is the film, in bounded pieces, and not
//! many times over.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use bytes::Bytes;
use tokio::{
    runtime::{Handle, Runtime, RuntimeFlavor},
    task::JoinHandle,
};

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{RangeReader, read_exactly},
};

/// Bytes fetched at once.
const BLOCK: u64 = 256 << 10;
/// Blocks kept or under way: what bounds the memory, to 12 MiB.
const MAX_BLOCKS: usize = 48;
/// Blocks fetched ahead of a reader that goes straight on, at the most: a quarter of what it has read. A reader that jumps
/// from sample to sample wastes little, one that reads on hardly waits.
const MAX_AHEAD: u64 = 8;
/// Longest answer to one question.
const MAX_ANSWER: u32 = 1 << 20;
/// In place of a length: the bytes could not be had.
const FAILED: u32 = u32::MAX;
/// How many times over the film may be fetched. A damaged one is read twice or three times.
const MAX_READINGS: u64 = 8;

/// Why the bytes stopped coming: set before the decoder can notice.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Error>>>);

impl Trouble {
    pub(super) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Serves a film on a thread of its own until the decoder hangs up. Returns the film's length.
///
/// Fetching happens on the caller's async runtime where it has several threads, otherwise on one of this thread's own.
pub(super) fn serve(
    reader: Arc<dyn RangeReader>,
    socket: impl Read + Write + Send + 'static,
    trouble: Trouble,
) -> Result<u64> {
    // A runtime of one thread may be the very one that waits for these bytes.
    let ambient =
        Handle::try_current().ok().filter(|handle| handle.runtime_flavor() != RuntimeFlavor::CurrentThread);
    let (tell_length, length) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("picchu-remote".into())
        .spawn(move || {
            let runner = match ambient.map_or_else(Runner::own, |handle| Ok(Runner::Ambient(handle))) {
                Ok(runner) => runner,
                Err(error) => {
                    let _ = tell_length.send(Err(error));
                    return;
                }
            };
            let asked = Arc::clone(&reader);
            let length = runner.wait(runner.spawn(async move { asked.len().await }));
            let blocks = length.as_ref().ok().map(|length| Blocks::new(reader, runner, *length));
            if tell_length.send(length).is_err() {
                return;
            }
            if let Some(mut blocks) = blocks {
                answer(&mut blocks, socket, &trouble);
            }
        })
        .map_err(|e| Error::internal(format!("no thread to fetch the film with: {e}")).at(Stage::Sample))?;
    length.recv().unwrap_or_else(|_| Err(Error::internal("the thread that fetches the film has ended")))
}

/// What fetches: the caller's runtime, which somebody else drives, or one of this thread's own.
#[derive(Debug)]
enum Runner {
    Ambient(Handle),
    Own(Runtime),
}

impl Runner {
    fn own() -> Result<Self> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map(Self::Own)
            .map_err(|e| Error::internal(format!("no async runtime to fetch the film with: {e}")))
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        match self {
            Self::Ambient(handle) => handle.spawn(work),
            Self::Own(runtime) => runtime.spawn(work),
        }
    }

    fn wait<T>(&self, task: JoinHandle<Result<T>>) -> Result<T> {
        let answer = match self {
            Self::Ambient(handle) => handle.block_on(task),
            Self::Own(runtime) => runtime.block_on(task),
        };
        match answer {
            Ok(answer) => answer,
            Err(e) if e.is_cancelled() => {
                Err(Error::new(ErrorKind::Cancelled, "the runtime is shutting down"))
            }
            Err(e) => Err(Error::internal(format!("reading the film panicked: {e}"))),
        }
    }
}

fn answer(blocks: &mut Blocks, mut socket: impl Read + Write, trouble: &Trouble) {
    let mut question = [0; 12];
    while socket.read_exact(&mut question).is_ok() {
        let (offset, size) = question.split_at(8);
        let offset = offset.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let size = size.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)).min(MAX_ANSWER);
        let sent = match blocks.read(offset, size) {
            Ok(bytes) => {
                socket.write_all(&(bytes.len() as u32).to_le_bytes()).and_then(|()| socket.write_all(&bytes))
            }
            Err(error) => {
                trouble.set(error);
                socket.write_all(&FAILED.to_le_bytes())
            }
        };
        if sent.is_err() {
            break;
        }
    }
}

/// The last blocks of a film, and the next ones of a reader that goes straight on.
#[derive(Debug)]
struct Blocks {
    reader: Arc<dyn RangeReader>,
    runner: Runner,
    length: u64,
    held: VecDeque<(u64, Block)>,
    last: u64,
    /// Blocks read one after the other up to the last one.
    run: u64,
    fetched: u64,
}

#[derive(Debug)]
enum Block {
    Here(Bytes),
    Coming(JoinHandle<Result<Bytes>>),
}

impl Blocks {
    fn new(reader: Arc<dyn RangeReader>, runner: Runner, length: u64) -> Self {
        Self { reader, runner, length, held: VecDeque::new(), last: 0, run: 0, fetched: 0 }
    }

    /// Up to `size` bytes from `offset`: fewer at a block's end, none at the film's.
    fn read(&mut self, offset: u64, size: u32) -> Result<Bytes> {
        if offset >= self.length || size == 0 {
            return Ok(Bytes::new());
        }
        let number = offset / BLOCK;
        if number == self.last + 1 {
            self.run += 1;
        } else if number != self.last {
            self.run = 0;
        }
        self.last = number;
        for next in number..=number + (self.run / 4).min(MAX_AHEAD) {
            if next * BLOCK < self.length {
                self.start(next)?;
            }
        }
        let block = self.take(number)?;
        let from = (offset - number * BLOCK) as usize;
        let to = block.len().min(from + size as usize);
        let bytes = block.slice(from..to);
        self.keep(number, Block::Here(block));
        Ok(bytes)
    }

    fn start(&mut self, number: u64) -> Result<()> {
        if let Some(at) = self.held.iter().position(|(held, _)| *held == number) {
            // Last in the row, so that the blocks fetched ahead of it do not push it out.
            let block = self.held.remove(at);
            self.held.extend(block);
            return Ok(());
        }
        let range = number * BLOCK..self.length.min((number + 1) * BLOCK);
        self.fetched += range.end - range.start;
        if self.fetched > self.length.saturating_mul(MAX_READINGS) + 256 * BLOCK {
            return Err(Error::new(
                ErrorKind::QuotaExceeded,
                format!("{} was asked for more than {MAX_READINGS} times over", self.reader.name()),
            ));
        }
        let reader = Arc::clone(&self.reader);
        self.keep(
            number,
            Block::Coming(self.runner.spawn(async move { read_exactly(&*reader, range).await })),
        );
        Ok(())
    }

    fn take(&mut self, number: u64) -> Result<Bytes> {
        let at = self.held.iter().position(|(held, _)| *held == number);
        match at.and_then(|at| self.held.remove(at)) {
            Some((_, Block::Here(bytes))) => Ok(bytes),
            Some((_, Block::Coming(task))) => self.runner.wait(task),
            None => Err(Error::internal("a block of the film is missing")),
        }
    }

    /// The longest unused block makes room.
    fn keep(&mut self, number: u64, block: Block) {
        while self.held.len() >= MAX_BLOCKS {
            if let Some((_, Block::Coming(task))) = self.held.pop_front() {
                task.abort();
            }
        }
        self.held.push_back((number, block));
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for (_, block) in &self.held {
            if let Block::Coming(task) = block {
                task.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::BytesReader;

    fn film(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 31 + n / 251) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_question_is_answered_as_from_a_file(
            length in 1_usize..5_000_000,
            questions in prop::collection::vec((0_u64..5_500_000, 1_u32..2_000_000), 1..40),
        ) {
            let bytes = film(length);
            let reader = Arc::new(BytesReader::new("film", bytes.clone()));
            let mut blocks = Blocks::new(reader, Runner::own().unwrap(), length as u64);
            for (offset, size) in questions {
                let got = match blocks.read(offset, size) {
                    Ok(got) => got,
                    Err(error) => {
                        prop_assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
                        break;
                    }
                };
                let from = (offset as usize).min(length);
                prop_assert!(got.len() <= size as usize);
                prop_assert_eq!(got.is_empty(), from == length);
                prop_assert_eq!(&got[..], &bytes[from..from + got.len()]);
                prop_assert!(blocks.held.len() <= MAX_BLOCKS);
            }
        }
    }

    #[test]
    fn a_film_is_not_fetched_without_end() {
        let length = 160 * BLOCK;
        let reader = BytesReader::new("film", film(length as usize));
        let mut blocks = Blocks::new(Arc::new(reader), Runner::own().unwrap(), length);
        let error = (0..4000).find_map(|n| blocks.read((n * 17 % 160) * BLOCK, 10).err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        assert!(blocks.fetched <= (160 * MAX_READINGS + 257) * BLOCK);
    }
}
