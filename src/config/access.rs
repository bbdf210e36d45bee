//! Where films and datasets lie, and how they are reached there.

use std::{path::Path, sync::Arc};

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    generate::evaluate::{JudgedImage, images_in, images_in_folder},
    source::{FrameSource, ImageFolder},
    store::{FsStore, Store},
};

/// How to reach films and datasets that lie elsewhere than on this machine. What is not given comes from the environment.
///
/// ```
/// # fn main() -> picchu::Result<()> {
/// use picchu::config::Access;
/// let dataset = Access::default().store("dataset".as_ref())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// How to reach Amazon's services.
    #[cfg(feature = "aws")]
    pub aws: crate::aws::AwsSettings,
    /// How the objects of a dataset on S3 are encrypted.
    #[cfg(feature = "aws-s3")]
    pub encryption: crate::aws::Encryption,
}

impl Access {
    /// Opens a video file, a folder of pictures, or a video at an address: `s3://bucket/key` with the feature `aws-s3`,
    /// `https://…` with the feature `http`. Of a film at an address, only what the samples need is read.
    ///
    /// # Errors
    /// As [`Pipeline::film`](crate::Pipeline::film); [`Unsupported`](ErrorKind::Unsupported) for an address that this
    /// build cannot read from.
    pub fn film(&self, path: &Path) -> Result<Arc<dyn FrameSource>> {
        if let Some((address, scheme)) = address(path) {
            return self.remote_film(address, scheme);
        }
        if path.is_dir() {
            return Ok(Arc::new(ImageFolder::open(path)?));
        }
        #[cfg(feature = "video")]
        {
            Ok(Arc::new(crate::local::video::VideoFile::open(path)?))
        }
        #[cfg(not(feature = "video"))]
        Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{} is not a folder, and this build cannot read video; enable the feature \"video\"",
                path.display()
            ),
        )
        .at(Stage::Sample))
    }

    #[cfg_attr(
        not(all(feature = "video", any(feature = "aws-s3", feature = "http"))),
        allow(unused_variables, clippy::unused_self)
    )]
    fn remote_film(&self, address: &str, scheme: &str) -> Result<Arc<dyn FrameSource>> {
        match scheme {
            #[cfg(all(feature = "video", feature = "aws-s3"))]
            "s3" => {
                let film = crate::aws::S3Film::open(address, self.aws.clone())?;
                return Ok(Arc::new(crate::local::video::VideoFile::remote(Arc::new(film))));
            }
            #[cfg(all(feature = "video", feature = "http"))]
            "http" | "https" => {
                let film = crate::local::web::WebFilm::open(address)?;
                return Ok(Arc::new(crate::local::video::VideoFile::remote(Arc::new(film))));
            }
            _ => {}
        }
        let needed = match scheme {
            "s3" => "enable the features \"video\" and \"aws-s3\", or download the film first",
            "http" | "https" => "enable the features \"video\" and \"http\", or download the film first",
            _ => "there are s3://, http:// and https://; download the film first",
        };
        // The address may hold a signature: it is not repeated.
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("this build reads no films from {scheme}:// addresses: {needed}"),
        )
        .at(Stage::Sample))
    }

    /// Reads the images at a place, as [`images_in`](crate::generate::evaluate::images_in): a folder on this machine,
    /// whatever the names in it, or an address as of a [`store`](Self::store).
    ///
    /// # Errors
    /// As these.
    pub async fn images(&self, place: &Path) -> Result<Vec<JudgedImage>> {
        match address(place) {
            Some(_) => images_in(&*self.store(place)?).await,
            None => images_in_folder(place).await,
        }
    }

    /// Opens the store at a place: a folder, which need not exist yet, or `s3://bucket/prefix` with the feature
    /// `aws-s3`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a place that is a file or an address that is none,
    /// [`Unsupported`](ErrorKind::Unsupported) for an address that this build has no store for.
    pub fn store(&self, place: &Path) -> Result<Arc<dyn Store>> {
        match address(place) {
            #[cfg(feature = "aws-s3")]
            Some((address, "s3")) => {
                let store = crate::aws::S3Store::open(address, self.aws.clone())?;
                Ok(Arc::new(store.encryption(self.encryption.clone())))
            }
            Some((_, scheme)) => {
                let hint = if scheme == "s3" { "; enable the feature \"aws-s3\"" } else { "" };
                Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "{} cannot hold a dataset: this build has no store for {scheme}://{hint}",
                        place.display()
                    ),
                )
                .at(Stage::Dataset))
            }
            None if place.exists() && !place.is_dir() => {
                Err(Error::invalid(format!("{} is a file; a dataset needs a folder", place.display()))
                    .at(Stage::Dataset))
            }
            None => Ok(Arc::new(FsStore::new(place))),
        }
    }
}

/// An address and its scheme, where a place is one.
fn address(place: &Path) -> Option<(&str, &str)> {
    let text = place.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    Some((text, scheme))
}
