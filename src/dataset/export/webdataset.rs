//! Tar files of samples, as the `webdataset` library reads them: files of one sample stand together and share the
//! part of their name before the first dot.

use std::{
    fs::File,
    io::{BufWriter, Read},
    path::Path,
};

use super::{Folder, Format, Part, Picture, Seen, Writer, any_picture, folder, unreadable};
use crate::{
    error::{Error, Result},
    types::DatasetRules,
};

/// Samples in a shard at the most.
const SAMPLES: usize = 1000;
/// Bytes of images in a shard, about.
const BYTES: u64 = 1 << 30;

/// `WebDataset`: shards `train-000000.tar`, … and `test-000000.tar`, …
#[derive(Debug)]
pub(crate) struct WebDataset;

fn prefix(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::HeldOut => "test",
    }
}

impl Format for WebDataset {
    fn name(&self) -> &'static str {
        "webdataset"
    }

    fn rules(&self) -> DatasetRules {
        any_picture(self.name(), "webdataset: \"The WebDataset Format\"")
    }

    fn takes_held_out(&self) -> bool {
        true
    }

    fn begin<'a>(&self, out: &'a Folder, part: Part) -> Result<Box<dyn Writer + 'a>> {
        Ok(Box::new(Shards::new(out, part)))
    }

    fn read(&self, folder: &Path) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for shard in folder::files(folder)?
            .into_iter()
            .filter(|name| Path::new(name).extension().is_some_and(|e| e == "tar"))
        {
            let part = if shard.starts_with(prefix(Part::HeldOut)) { Part::HeldOut } else { Part::Train };
            read_shard(&folder.join(shard), part, &mut seen)?;
        }
        Ok(seen)
    }
}

/// The shards of one split, one open at a time.
struct Shards<'a> {
    out: &'a Folder,
    part: Part,
    number: usize,
    samples: usize,
    bytes: u64,
    open: Option<(String, tar::Builder<BufWriter<File>>)>,
}

impl<'a> Shards<'a> {
    fn new(out: &'a Folder, part: Part) -> Self {
        Self { out, part, number: 0, samples: 0, bytes: 0, open: None }
    }

    fn close(&mut self) -> Result<()> {
        (self.samples, self.bytes, self.number) = (0, 0, self.number + 1);
        let Some((name, tar)) = self.open.take() else { return Ok(()) };
        let fail = |e| Error::io("write", &self.out.path().join(&name), e);
        let file = tar.into_inner().map_err(fail)?.into_inner().map_err(|e| fail(e.into_error()))?;
        self.out.close(&name, &file)
    }
}

impl Writer for Shards<'_> {
    fn add(&mut self, picture: Picture) -> Result<()> {
        if self.samples == SAMPLES || self.bytes >= BYTES {
            self.close()?;
        }
        if self.open.is_none() {
            let name = format!("{}-{:06}.tar", prefix(self.part), self.number);
            let file = BufWriter::with_capacity(1 << 20, self.out.create(&name)?);
            self.open = Some((name, tar::Builder::new(file)));
        }
        let Some((shard, tar)) = &mut self.open else { return Ok(()) };
        let (stem, extension) = picture.seen.name.rsplit_once('.').unwrap_or((&picture.seen.name, "png"));
        let more = serde_json::json!({
            "record": picture.record,
            "character": picture.character,
            "film": picture.film,
            "time": picture.time,
            "width": picture.seen.width,
            "height": picture.seen.height,
        });
        let files: [(&str, &[u8]); 3] = [
            (extension, &picture.body),
            ("txt", picture.seen.caption.as_bytes()),
            ("json", &more.to_string().into_bytes()),
        ];
        for (extension, body) in files {
            append(tar, &format!("{stem}.{extension}"), body)
                .map_err(|e| Error::io("write", &self.out.path().join(&*shard), e))?;
        }
        self.samples += 1;
        self.bytes += picture.body.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.close()
    }
}

/// Appends a file without a clock and without an owner: equal files give equal bytes.
fn append(tar: &mut tar::Builder<impl std::io::Write>, name: &str, body: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, body)
}

/// Groups the files of a shard into samples, in order.
fn read_shard(path: &Path, part: Part, seen: &mut Vec<Seen>) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let mut archive = tar::Archive::new(std::io::BufReader::with_capacity(1 << 20, file));
    let fail = |e: std::io::Error| Error::io("read", path, e);
    let mut sample = Sample::default();
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let name = entry.path().map_err(fail)?.display().to_string();
        let base = name.rsplit('/').next().unwrap_or(&name);
        let (key, extension) =
            base.split_once('.').ok_or_else(|| unreadable(path, format!("{name} has no extension")))?;
        if key != sample.key {
            seen.extend(std::mem::take(&mut sample).finish(path, part)?);
            key.clone_into(&mut sample.key);
        }
        let mut body = Vec::new();
        entry.read_to_end(&mut body).map_err(fail)?;
        match extension {
            "txt" => sample.caption = Some(String::from_utf8(body).map_err(|e| unreadable(path, e))?),
            "json" => {
                serde_json::from_slice::<serde_json::Value>(&body).map_err(|e| unreadable(path, e))?;
            }
            _ => sample.image = Some((base.to_owned(), body)),
        }
    }
    seen.extend(sample.finish(path, part)?);
    Ok(())
}

#[derive(Default)]
struct Sample {
    key: String,
    image: Option<(String, Vec<u8>)>,
    caption: Option<String>,
}

impl Sample {
    fn finish(self, path: &Path, part: Part) -> Result<Option<Seen>> {
        match (self.image, self.caption) {
            (Some((name, body)), Some(caption)) => {
                let (width, height, file) = folder::open_image(&body, &name)?;
                Ok(Some(Seen { name, caption, width, height, file, part }))
            }
            (None, None) => Ok(None),
            _ => Err(unreadable(path, format!("the sample {} lacks its image or its caption", self.key))),
        }
    }
}
