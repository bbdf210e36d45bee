//! Which film: an object on S3, as events, arguments and lists name it.

use serde::{Deserialize, Serialize};

use crate::{
    dataset::FileHash,
    error::{Error, Result, Stage},
    store::slug,
};

/// Longest event that is looked at, in bytes; SQS takes no longer message, and EventBridge sends far shorter ones.
const LONGEST_EVENT: usize = 1 << 20;
/// Longest key of an object, in bytes.
const LONGEST_KEY: usize = 1024;

/// A film that somebody uploaded: one version of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The bucket.
    pub bucket: String,
    /// The object's key, as it is.
    pub key: String,
    /// The version, in buckets that keep versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The entity tag, which tells versions apart in other buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// An event as EventBridge sends it. What is not known is ignored, as its makers ask.
#[derive(Debug, Deserialize)]
struct Event {
    source: String,
    #[serde(rename = "detail-type")]
    kind: String,
    #[serde(default)]
    detail: Option<Detail>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    /// Of the form of what is below.
    #[serde(default)]
    version: Option<String>,
    bucket: Bucket,
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    key: String,
    #[serde(rename = "version-id", default)]
    version: Option<String>,
    #[serde(default)]
    etag: Option<String>,
}

impl Upload {
    /// An object of a bucket. Empty versions and tags are none.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for names that no bucket or object has.
    pub fn new(
        bucket: impl Into<String>,
        key: impl Into<String>,
        version: Option<String>,
        etag: Option<String>,
    ) -> Result<Self> {
        let (bucket, key) = (bucket.into(), key.into());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) {
            return Err(refuse(&format!("{:?} is no name of a bucket", shorten(&bucket))));
        }
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(refuse(&format!("an object's key has 1 to {LONGEST_KEY} bytes, not {}", key.len())));
        }
        // A place in a template that was not filled in is no version; "null" is that of objects from before a bucket
        // kept versions.
        let given = |text: Option<String>| {
            text.map(|t| t.trim_matches('"').to_owned())
                .filter(|t| !t.is_empty() && t != "null" && !t.starts_with('<'))
        };
        Ok(Self { bucket, key, version: given(version), etag: given(etag) })
    }

    /// The object at `s3://bucket/key`, the newest version of it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for anything else.
    ///
    /// ```
    /// use picchu::worker::Upload;
    /// assert_eq!(Upload::at("s3://uploads/films/two friends.mp4")?.key, "films/two friends.mp4");
    /// assert!(Upload::at("films/two.mp4").is_err());
    /// # Ok::<(), picchu::Error>(())
    /// ```
    pub fn at(address: &str) -> Result<Self> {
        match address.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
            Some((bucket, key)) => Self::new(bucket, key, None, None),
            None => {
                Err(refuse(&format!("{:?} is no film on S3: s3://bucket/key is expected", shorten(address))))
            }
        }
    }

    /// The object that an event "Object Created" of Amazon EventBridge tells of; `None` for S3's other events, which
    /// tell of no new film.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what is no such event, with what is missing.
    pub fn from_event(json: &str) -> Result<Option<Self>> {
        if json.len() > LONGEST_EVENT {
            return Err(refuse(&format!("an event of {} bytes is none of S3's", json.len())));
        }
        let event: Event = serde_json::from_str(json).map_err(|e| {
            let hint = if json.contains("\"Records\"") {
                "; notifications that S3 sends without EventBridge have another form: turn EventBridge on for the bucket"
            } else {
                ""
            };
            refuse(&format!("not an event of Amazon EventBridge: {e}{hint}")).with_source(e)
        })?;
        if event.source != "aws.s3" {
            return Err(refuse(&format!("an event of {:?}, not of \"aws.s3\"", shorten(&event.source))));
        }
        if event.kind != "Object Created" {
            return Ok(None);
        }
        let Some(detail) = event.detail else { return Err(refuse("the event has no detail")) };
        if let Some(version) = detail.version.filter(|version| version != "0") {
            return Err(refuse(&format!(
                "the event's detail has the version {:?}; this build knows version \"0\"",
                shorten(&version)
            )));
        }
        Self::new(detail.bucket.name, detail.object.key, detail.object.version, detail.object.etag).map(Some)
    }

    /// The object's address.
    pub fn address(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// What everything that belongs to this film is called: the beginning of the film's own name, and a hash of bucket,
    /// key and version, or the entity tag where there are no versions. Equal uploads have equal names, others never do.
    pub fn name(&self) -> String {
        let version = self.version.as_ref().or(self.etag.as_ref()).map_or("", String::as_str);
        let mut bytes = Vec::new();
        for part in [&*self.bucket, &*self.key, version] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        let file = self.key.rsplit('/').next().unwrap_or(&self.key);
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        format!("{}-{}", slug(stem), FileHash::of(&bytes).short(16))
    }
}

fn refuse(why: &str) -> Error {
    Error::invalid(why).at(Stage::Sample)
}

fn shorten(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the S3 user guide, "EventBridge event message structure".
    const EVENT: &str = r#"{
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Object Created",
        "source": "aws.s3", "account": "111122223333", "time": "2021-11-12T00:00:00Z", "region": "ca-central-1",
        "resources": ["arn:aws:s3:::uploads"],
        "detail": {"version": "0", "bucket": {"name": "uploads"},
            "object": {"key": "in/two friends+é.mp4", "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184",
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "sequencer": "617f08299329d189"},
            "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012", "source-ip-address": "1.2.3.4",
            "reason": "PutObject"}}"#;

    #[test]
    fn events_name_the_object_as_it_is() {
        let upload = Upload::from_event(EVENT).unwrap().unwrap();
        assert_eq!(upload.address(), "s3://uploads/in/two friends+é.mp4");
        assert_eq!(upload.version.as_deref(), Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"));
        assert!(upload.name().starts_with("two-friends-"), "{}", upload.name());
        let more = EVENT.replace("\"detail\": {", "\"new\": [1], \"detail\": {\"new\": {},");
        assert_eq!(Upload::from_event(&more).unwrap().unwrap(), upload);
        assert_eq!(Upload::from_event(&EVENT.replace("Object Created", "Object Deleted")).unwrap(), None);
    }

    #[test]
    fn what_is_no_event_says_why() {
        for (event, why) in [
            (String::new(), "not an event"),
            ("[]".into(), "not an event"),
            ("{\"Records\": []}".into(), "turn EventBridge on"),
            (EVENT.replace("aws.s3", "aws.ec2"), "aws.ec2"),
            (EVENT.replace("\"bucket\"", "\"basket\""), "bucket"),
            (EVENT.replace("in/two friends+é.mp4", ""), "1 to 1024 bytes"),
            (EVENT.replace("{\"name\": \"uploads\"}", "{\"name\": \"../etc\"}"), "no name of a bucket"),
            (
                EVENT.replace("\"detail\": {\"version\": \"0\"", "\"detail\": {\"version\": \"1\""),
                "version \"1\"",
            ),
            (EVENT.replace("in/two", &"x".repeat(2000)), "1 to 1024 bytes"),
            (" ".repeat(2 << 20), "bytes"),
        ] {
            let error = Upload::from_event(&event).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }

    #[test]
    fn names_tell_every_version_apart_and_templates_leave_no_version() {
        let upload = |key: &str, version: &str| {
            Upload::new("uploads", key, Some(version.into()), Some("tag".into())).unwrap()
        };
        assert_eq!(upload("a/b.mp4", "1").name(), upload("a/b.mp4", "1").name());
        assert_ne!(upload("a/b.mp4", "1").name(), upload("a/b.mp4", "2").name());
        assert_ne!(upload("a/b.mp4", "1").name(), upload("c/b.mp4", "1").name());
        for none in ["", "null", "<version>", "\"\""] {
            assert_eq!(upload("a", none).version, None, "{none}");
        }
    }
}
