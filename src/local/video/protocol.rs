//! The messages of the decoder program, as `decoder/PROTOCOL.md` describes them.
//!
//! The program may have been taken over by a hostile film, so nothing it says is trusted: every length has a bound,
//! nothing is allocated on its word alone, and what does not fit is an error.

use std::{
    collections::HashMap,
    io::{self, Read},
};

/// Longest Info message in bytes.
const MAX_INFO: u32 = 1 << 16;
/// Longest message of words in bytes.
const MAX_TEXT: u32 = 1 << 13;
/// Bytes before a frame's pixels.
const FRAME_HEAD: u32 = 48;

/// What the program says.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// The film's description, always first.
    Info(Fields),
    /// A picture.
    Frame(Picture),
    /// The same picture as the last, for another sample.
    Repeat(u64),
    /// Nothing could be decoded in this stretch.
    Gap { from: i64, until: Option<i64>, lost: u64, reason: String },
    /// Something worth knowing.
    Note { code: String, text: String },
    /// The end, in failure.
    Error { code: String, text: String },
    /// The end, in success.
    End(Counts),
}

/// A picture as the program sends it.
#[derive(Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) sample: u64,
    /// Ticks of the time base since the first shown picture.
    pub(super) ticks: i64,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) key: bool,
    pub(super) damaged: bool,
    pub(super) rgb: Vec<u8>,
}

/// What the program did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples delivered.
    pub samples: u64,
    /// Packets read from the container.
    pub packets: u64,
    /// Packets given to a decoder.
    pub decoded: u64,
    /// Whether only the pictures that the samples need were decoded.
    pub planned: bool,
}

/// The `key=value` lines of an Info message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    fn parse(bytes: Vec<u8>) -> io::Result<Self> {
        let text = String::from_utf8(bytes).map_err(|_| bad("the description is not text"))?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(Self(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }

    /// A field's text; empty when absent.
    pub(super) fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// A field's number, when it is one.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.0.get(key)?.parse().ok()
    }

    /// Whether a field is `1`.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.text(key) == "1"
    }

    /// A fraction of two positive numbers.
    pub(super) fn fraction(&self, key: &str) -> Option<(u32, u32)> {
        let (top, bottom) = self.0.get(key)?.split_once('/')?;
        let (top, bottom) = (top.parse().ok()?, bottom.parse().ok()?);
        (top > 0 && bottom > 0).then_some((top, bottom))
    }
}

/// Reads messages, each at most as large as the limits allow.
#[derive(Debug)]
pub(super) struct Reader<R> {
    input: R,
    max_pixels: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R, max_pixels: u64) -> Self {
        Self { input, max_pixels }
    }

    /// The next message; `None` where the program's output ends between two messages.
    pub(super) fn next(&mut self) -> io::Result<Option<Message>> {
        let mut head = [0; 8];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let [b'P', b'C', kind, 0, l0, l1, l2, l3] = head else {
            return Err(bad("a message does not begin as messages do"));
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let message = match kind {
            1 => Message::Info(Fields::parse(self.bytes(length, MAX_INFO)?)?),
            2 => Message::Frame(self.frame(length)?),
            3 => Message::Repeat(u64::from_le_bytes(self.exact(length)?)),
            4 => {
                let body = self.bytes(length, 24 + MAX_TEXT)?;
                let (head, reason) = body.split_at_checked(24).ok_or_else(|| bad("a gap is too short"))?;
                let until = read_i64(head, 8);
                Message::Gap {
                    from: read_i64(head, 0),
                    until: (until != i64::MAX).then_some(until),
                    lost: read_i64(head, 16) as u64,
                    reason: String::from_utf8_lossy(reason).into_owned(),
                }
            }
            5 | 6 => {
                let body = String::from_utf8_lossy(&self.bytes(length, MAX_TEXT)?).into_owned();
                let (code, text) = body.split_once('\n').ok_or_else(|| bad("words without a code"))?;
                let (code, text) = (code.to_owned(), text.to_owned());
                if kind == 5 { Message::Note { code, text } } else { Message::Error { code, text } }
            }
            7 => {
                let body: [u8; 32] = self.exact(length)?;
                let field = |at| read_i64(&body, at) as u64;
                Message::End(Counts {
                    samples: field(0),
                    packets: field(8),
                    decoded: field(16),
                    planned: field(24) != 0,
                })
            }
            _ => return Err(bad("a message of an unknown kind")),
        };
        Ok(Some(message))
    }

    fn frame(&mut self, length: u32) -> io::Result<Picture> {
        if length < FRAME_HEAD {
            return Err(bad("a frame is too short"));
        }
        let head: [u8; FRAME_HEAD as usize] = self.exact(FRAME_HEAD)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (width, height, flags) = (word(32), word(36), word(40));
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels > self.max_pixels {
            return Err(bad("a frame's size is outside the limits"));
        }
        if pixels * 3 != u64::from(length - FRAME_HEAD) {
            return Err(bad("a frame's size and its bytes do not agree"));
        }
        Ok(Picture {
            sample: read_i64(&head, 0) as u64,
            ticks: read_i64(&head, 16),
            width,
            height,
            key: flags & 1 != 0,
            damaged: flags & 2 != 0,
            rgb: self.bytes(length - FRAME_HEAD, u32::MAX)?,
        })
    }

    /// A body of `length` bytes. `bound` was checked against the limits, so the room may be taken at once.
    fn bytes(&mut self, length: u32, bound: u32) -> io::Result<Vec<u8>> {
        if length > bound {
            return Err(bad("a message is too long"));
        }
        let mut body = Vec::with_capacity(length as usize);
        let read = self.input.by_ref().take(u64::from(length)).read_to_end(&mut body)?;
        if read == length as usize { Ok(body) } else { Err(cut()) }
    }

    fn exact<const N: usize>(&mut self, length: u32) -> io::Result<[u8; N]> {
        let mut body = [0; N];
        if length as usize != N {
            return Err(bad("a message has the wrong length"));
        }
        if self.fill(&mut body)? { Ok(body) } else { Err(cut()) }
    }

    /// Fills the buffer: `false` when there is nothing at all.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(cut()),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

fn read_i64(bytes: &[u8], at: usize) -> i64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(word)
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the decoder stopped in the middle of a message")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![b'P', b'C', kind, 0];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    fn frame_body(width: u32, height: u32, pixels: usize) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(7_u64.to_le_bytes());
        body.extend(1100_i64.to_le_bytes());
        body.extend(100_i64.to_le_bytes());
        body.extend(1_i64.to_le_bytes());
        for word in [width, height, 1, 0] {
            body.extend(word.to_le_bytes());
        }
        body.extend((0..pixels).map(|n| n as u8));
        body
    }

    fn read(bytes: &[u8]) -> io::Result<Option<Message>> {
        Reader::new(bytes, 1 << 20).next()
    }

    fn refused(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn each_kind_is_read() {
        let Some(Message::Info(fields)) =
            read(&message(1, b"codec=h264\ntime_base=1/24\nframes=12\nodd\n")).unwrap()
        else {
            unreachable!()
        };
        assert_eq!((fields.text("codec"), fields.fraction("time_base")), ("h264", Some((1, 24))));
        assert_eq!((fields.number::<u64>("frames"), fields.text("none")), (Some(12), ""));

        let Some(Message::Frame(picture)) = read(&message(2, &frame_body(2, 1, 6))).unwrap() else {
            unreachable!()
        };
        assert_eq!((picture.sample, picture.ticks, picture.width, picture.height), (7, 100, 2, 1));
        assert_eq!((picture.key, picture.damaged, picture.rgb), (true, false, vec![0, 1, 2, 3, 4, 5]));

        assert_eq!(read(&message(3, &9_u64.to_le_bytes())).unwrap(), Some(Message::Repeat(9)));

        let mut gap = 5_i64.to_le_bytes().to_vec();
        gap.extend(i64::MAX.to_le_bytes());
        gap.extend(3_u64.to_le_bytes());
        gap.extend(b"cut");
        assert_eq!(
            read(&message(4, &gap)).unwrap(),
            Some(Message::Gap { from: 5, until: None, lost: 3, reason: "cut".into() })
        );
        assert_eq!(
            read(&message(6, b"empty\nthe file is empty")).unwrap(),
            Some(Message::Error { code: "empty".into(), text: "the file is empty".into() })
        );
        let counts = [4_u64, 30, 20, 1].map(u64::to_le_bytes).concat();
        assert_eq!(
            read(&message(7, &counts)).unwrap(),
            Some(Message::End(Counts { samples: 4, packets: 30, decoded: 20, planned: true }))
        );
        assert_eq!(read(b"").unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(refused(b"HTTP/1.1 200 OK").contains("begin"));
        assert!(refused(&message(99, b"")).contains("unknown"));
        assert!(refused(&message(3, b"short")).contains("wrong length"));
        assert!(refused(&message(4, b"short")).contains("too short"));
        assert!(refused(&message(5, b"no code")).contains("code"));
        assert!(refused(&message(1, &vec![b'x'; 70_000])).contains("too long"));
        assert!(refused(&message(1, &[0xff, 0xfe])).contains("not text"));
        assert!(refused(&message(2, b"x")).contains("too short"));
        assert!(refused(&message(2, &frame_body(2, 2, 6))).contains("do not agree"));
        assert!(refused(&message(2, &frame_body(0, 0, 0))).contains("outside the limits"));
        let whole = message(2, &frame_body(2, 1, 6));
        for length in 1..whole.len() {
            assert!(refused(&whole[..length]).contains("stopped"), "{length}");
        }
    }

    #[test]
    fn a_gigantic_frame_is_refused_before_room_is_taken() {
        let mut bytes = message(2, &frame_body(u32::MAX, u32::MAX, 0));
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(refused(&bytes).contains("outside the limits"));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(kind in 0_u8..10, length in 0_u32..100_000, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = message(kind, &body);
            let _ = read(&bytes);
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            let _ = read(&bytes);
            let _ = read(&body);
        }
    }
}
