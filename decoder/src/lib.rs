//! The program `picchu-decode`, as bytes.
//!
//! It reads a film from standard input and writes pictures to standard output, in the messages of `PROTOCOL.md`.
//! The main crate starts it as a process of its own. It is a separate program so that a hostile film meets a
//! process without files, network or much memory, and so that its FFmpeg part (LGPL) stays replaceable.

/// The program's bytes. Empty when the crate was built without one (see the warning of the build).
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/picchu-decode"));

/// Where the program comes from: `bundled`, `system-ffmpeg`, `given` or `none`.
pub const ORIGIN: &str = env!("PICCHU_DECODER_ORIGIN");

/// The licence of the FFmpeg part (LGPL 2.1); empty unless [`ORIGIN`] is `bundled`.
pub const FFMPEG_LICENSE: &str = include_str!(concat!(env!("OUT_DIR"), "/COPYING.LGPLv2.1"));

/// The licence of the AV1 decoder (BSD 2-clause); empty where the program has none.
pub const AV1_LICENSE: &str = include_str!(concat!(env!("OUT_DIR"), "/COPYING.dav1d"));

#[cfg(test)]
mod tests {
    #[test]
    fn a_program_comes_with_its_licence() {
        if super::ORIGIN == "bundled" {
            assert!(super::PROGRAM.len() > 1_000_000);
            assert!(super::FFMPEG_LICENSE.contains("GNU LESSER GENERAL PUBLIC LICENSE"));
        }
    }
}
