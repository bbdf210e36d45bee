//! Whether people looked at what is trained on.

use crate::{
    dataset::export::{MARK, Mark},
    types::Finding,
};

/// What an export's own mark, the file [`MARK`], says of it: an error where images were not looked at, unless `allow` says
/// that this is meant.
pub fn check_reviewed(mark: Option<&[u8]>, allow: bool) -> Option<Finding> {
    let mark = mark.and_then(|body| serde_json::from_slice::<Mark>(body).ok());
    let mend = "look at them with `picchu review`, and export again; or say --allow-unreviewed";
    match mark {
        None => Some(Finding::warning(
            format!("{MARK} is not there: whether people looked at the images is not known"),
            "take the whole folder of the export, hidden files too",
        )),
        Some(Mark { unreviewed: 0, .. }) => None,
        Some(Mark { unreviewed, pictures, .. }) => {
            let message = format!("{unreviewed} of {pictures} images were not looked at by a person");
            Some(if allow { Finding::note(message, mend) } else { Finding::error(message, mend) })
        }
    }
}
