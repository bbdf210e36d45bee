//! What a worker does with films: a folder with `worker.toml`, here or on S3.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::TryStreamExt;
use serde::Deserialize;
use tempfile::TempDir;

use super::Upload;
use crate::{
    aws::S3Place,
    config::{Access, Config, references},
    error::{Error, ErrorKind, Result},
    store::Store,
    types::Cast,
};

/// The settings' name in their folder.
pub const WORKER_FILE: &str = "worker.toml";
/// A folder of settings on S3 is copied here; it holds a cast and its pictures, not films.
const LARGEST_FOLDER: u64 = 512 << 20;
const MOST_FILES: usize = 1000;

/// What a worker does with films, read from a folder:
///
/// ```toml
/// output = "s3://datasets/by-film"       # each film gets a place of its own below
/// inputs = ["s3://uploads/films/"]       # optional: what lies elsewhere is left alone
/// suffixes = [".mp4", ".mov"]            # optional: so are other names
///
/// [run]                                  # as for `picchu build`, without film and out
/// cast = "cast.toml"                     # relative to this file, as prices and models are
/// fps = 1.0
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    output: PathBuf,
    /// Places whose objects are the worker's own.
    own: Vec<String>,
    inputs: Vec<String>,
    suffixes: Vec<String>,
    run: Config,
    /// The copy of a folder on S3; it goes with the settings.
    kept: Option<Arc<TempDir>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    inputs: Vec<String>,
    #[serde(default)]
    suffixes: Vec<String>,
    run: toml::Table,
}

impl Settings {
    /// Reads the settings in a folder or below `s3://bucket/prefix`, which is copied to a temporary folder: file names
    /// of letters, digits, `.`, `_` and `-`. `output` takes the place of the file's own.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) without a `worker.toml`; [`Config`](ErrorKind::Config) for one that is not
    /// understood, for a cast that cannot be used, and for an output that would start the worker again.
    pub async fn load(place: &str, output: Option<&str>, access: &Access) -> Result<Self> {
        let remote = place.starts_with("s3://");
        let (folder, kept) = if remote {
            let folder = Arc::new(copy(&*access.store(place.as_ref())?).await?);
            (folder.path().to_owned(), Some(folder))
        } else {
            (PathBuf::from(place), None)
        };
        let path = folder.join(WORKER_FILE);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                Error::new(ErrorKind::NotFound, format!("{place} has no file {WORKER_FILE}"))
            } else {
                Error::io("read the settings", &path, e)
            }
        })?;
        let mut settings = Self::parse(&text, output, &folder, access)?;
        if remote {
            settings.own.push(S3Place::parse(place)?.to_string());
        }
        settings.kept = kept;
        settings.check()?;
        Ok(settings)
    }

    fn parse(text: &str, output: Option<&str>, folder: &Path, access: &Access) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Config, format!("{WORKER_FILE} is not understood: {e}"))
        };
        let file: File = toml::from_str(text).map_err(|e| wrong(&e))?;
        let mut run = file.run;
        for name in ["film", "out"] {
            if run.insert(name.into(), "".into()).is_some() {
                return Err(wrong(&format!("[run] names {name:?}, which is another one for each film")));
            }
        }
        let mut run: Config = run.try_into().map_err(|e| wrong(&e))?;
        run = run.relative_to(folder);
        let given = &access.aws;
        run.aws.region = given.region.clone().or(run.aws.region);
        run.aws.profile = given.profile.clone().or(run.aws.profile);
        run.aws.endpoint = given.endpoint.clone().or(run.aws.endpoint);
        let Some(output) = output.map(str::to_owned).or(file.output) else {
            return Err(wrong(&"it names no output, and none was given"));
        };
        let mut own = Vec::new();
        if output.starts_with("s3://") {
            own.push(S3Place::parse(&output)?.to_string());
        }
        for input in &file.inputs {
            if Upload::at(&format!("{input}x")).is_err() {
                return Err(wrong(&format!("the input {input:?} is not of the form s3://bucket/prefix")));
            }
            // The worker leaves its output alone, but every image would start one.
            if let Some(own) = own.iter().find(|own| format!("{own}/").starts_with(input.as_str())) {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "the output {own} lies below the input {input}: every file of a dataset would start a worker; \
                         choose another bucket or prefix for one of them"
                    ),
                ));
            }
        }
        let suffixes = file.suffixes.iter().map(|s| s.to_lowercase()).collect();
        Ok(Self { output: output.into(), own, inputs: file.inputs, suffixes, run, kept: None })
    }

    /// Finds what would fail for every film before the first one comes.
    fn check(&self) -> Result<()> {
        let config = |e: Error| Error::new(ErrorKind::Config, e.to_string()).with_source(e);
        let cast = Cast::load(&self.run.cast).map_err(config)?;
        if matches!(self.run.detector, crate::config::DetectorChoice::Palette(_)) {
            references(&cast).map_err(config)?;
        }
        self.run.shared().map_err(config)?;
        self.run.sample.build(self.run.fps).map_err(config)?;
        self.run.crop.validate().map_err(config)
    }

    /// Below where datasets and reports go.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// How films and datasets are reached.
    pub fn access(&self) -> Access {
        self.run.access()
    }

    /// The run that makes the dataset called `name` of an upload.
    pub(super) fn run(&self, upload: &Upload, name: &str) -> Config {
        Config { film: upload.address().into(), out: self.output.join(name), ..self.run.clone() }
    }

    /// Why an upload is none of this worker's business, if so.
    pub(super) fn ignores(&self, upload: &Upload) -> Option<String> {
        let address = upload.address();
        if let Some(own) = self.own.iter().find(|own| address.starts_with(&format!("{own}/"))) {
            return Some(format!("it lies below {own}, where this worker's own files lie"));
        }
        if !self.inputs.is_empty() && !self.inputs.iter().any(|input| address.starts_with(input.as_str())) {
            return Some("it lies below none of the inputs".into());
        }
        let key = upload.key.to_lowercase();
        if upload.key.ends_with('/') {
            return Some("it is a folder".into());
        }
        if !self.suffixes.is_empty() && !self.suffixes.iter().any(|suffix| key.ends_with(suffix.as_str())) {
            return Some("its name ends in none of the suffixes".into());
        }
        None
    }
}

/// Copies a small folder from a store.
async fn copy(store: &dyn Store) -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("picchu-settings-")
        .tempdir()
        .map_err(|e| Error::io("make a folder in", &std::env::temp_dir(), e))?;
    let objects: Vec<_> = store.list(None).try_collect().await?;
    let bytes: u64 = objects.iter().map(|object| object.size_bytes).sum();
    if objects.len() > MOST_FILES || bytes > LARGEST_FOLDER {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "the settings' folder has {} files of {bytes} bytes; at most {MOST_FILES} of {LARGEST_FOLDER} bytes are \
                 copied. Does it hold something else?",
                objects.len()
            ),
        ));
    }
    for object in objects {
        let body = store.get(&object.key).await?;
        // Keys have no parts that lead out of the folder.
        let path = folder.path().join(object.key.as_str());
        crate::blocking(move || {
            let parent = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(parent).map_err(|e| Error::io("make the folder", parent, e))?;
            std::fs::write(&path, &body).map_err(|e| Error::io("write", &path, e))
        })
        .await?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings> {
        Settings::parse(text, None, Path::new("/settings"), &Access::default())
    }

    const PLAIN: &str = "output = \"s3://data/out\"\n[run]\ncast = \"cast.toml\"\n";

    #[test]
    fn files_are_found_beside_the_settings_and_films_get_places_of_their_own() {
        let settings = parse(PLAIN).unwrap();
        let upload = Upload::new("uploads", "a.mp4", None, Some("t".into())).unwrap();
        let run = settings.run(&upload, "a-1");
        assert_eq!(run.cast, Path::new("/settings/cast.toml"));
        assert_eq!((run.film, run.out), ("s3://uploads/a.mp4".into(), "s3://data/out/a-1".into()));
    }

    #[test]
    fn what_would_start_the_worker_again_is_refused_or_left_alone() {
        for input in ["s3://data/", "s3://data/o", "s3://data/out/"] {
            let error = parse(&format!("inputs = [\"{input}\"]\n{PLAIN}")).unwrap_err();
            assert!(error.message().contains("would start a worker"), "{error}");
        }
        let more = "inputs = [\"s3://data/in/\", \"s3://uploads/\"]\nsuffixes = [\".MP4\"]\n";
        let settings = parse(&format!("{more}{PLAIN}")).unwrap();
        let ignored = |address: &str| settings.ignores(&Upload::at(address).unwrap());
        assert_eq!(ignored("s3://data/in/a.mp4"), None);
        assert_eq!(ignored("s3://uploads/a b.Mp4"), None);
        for (address, why) in [
            ("s3://data/out/a-1/images/x.mp4", "own files"),
            ("s3://elsewhere/a.mp4", "none of the inputs"),
            ("s3://uploads/a.txt", "suffixes"),
            ("s3://uploads/a.mp4/", "folder"),
        ] {
            assert!(ignored(address).is_some_and(|reason| reason.contains(why)), "{address}");
        }
        assert!(parse(PLAIN).unwrap().ignores(&Upload::at("s3://data/outer.mp4").unwrap()).is_none());
    }

    #[test]
    fn wrong_settings_say_what_is_wrong() {
        for (text, why) in [
            ("", "run"),
            ("[run]\ncast = \"c\"\n", "no output"),
            ("output = \"out\"\n[run]\ncast = \"c\"\nfilm = \"x\"\n", "\"film\""),
            ("output = \"out\"\n[run]\ncast = \"c\"\nfpz = 1\n", "fpz"),
            ("outputs = \"out\"\n[run]\ncast = \"c\"\n", "outputs"),
            ("inputs = [\"uploads\"]\noutput = \"out\"\n[run]\ncast = \"c\"\n", "s3://bucket/prefix"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(why), "{text:?}: {error}");
        }
    }
}
