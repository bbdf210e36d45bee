//! One error type for the whole crate: what went wrong, where, and whether trying again can help.

use std::fmt;

use crate::types::{Gap, Usage};

/// A boxed error from below, kept as the source of an [`Error`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// `Result` with picchu's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is. Callers branch on this; people read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's data is wrong: a file that is not a video, a threshold out of range.
    InvalidInput,
    /// The settings do not fit together or something needed is not installed.
    Config,
    /// Something named does not exist.
    NotFound,
    /// Something exists that must not, for example another film's dataset.
    AlreadyExists,
    /// Access was refused.
    PermissionDenied,
    /// The service asked for a lower rate.
    Throttled,
    /// A quota or a budget is used up.
    QuotaExceeded,
    /// No answer in time.
    Timeout,
    /// The service or the storage cannot serve now.
    Unavailable,
    /// A content filter refused the input or the output.
    ContentFiltered,
    /// A picture, a stretch of film or a model's answer cannot be decoded.
    Decode,
    /// The request is valid, but this implementation cannot do it.
    Unsupported,
    /// The work was cancelled.
    Cancelled,
    /// A bug or a state that should not exist.
    Internal,
}

impl ErrorKind {
    const ALL: [Self; 14] = [
        Self::InvalidInput,
        Self::Config,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::Throttled,
        Self::QuotaExceeded,
        Self::Timeout,
        Self::Unavailable,
        Self::ContentFiltered,
        Self::Decode,
        Self::Unsupported,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind's stable name in `snake_case`, as machine-readable output shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Config => "config",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::Throttled => "throttled",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::ContentFiltered => "content_filtered",
            Self::Decode => "decode",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The stage of the job in which an error arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Opening and sampling the film.
    Sample,
    /// Finding and naming characters.
    Detect,
    /// Cutting crops.
    Crop,
    /// Embedding crops.
    Embed,
    /// Removing near-duplicates.
    Dedupe,
    /// Captioning.
    Caption,
    /// Human review.
    Review,
    /// Reading or writing the dataset.
    Dataset,
    /// Writing a trainer's input.
    Export,
    /// Fine-tuning.
    Train,
    /// Serving a model.
    Deploy,
    /// Drawing images.
    Generate,
    /// Judging what was drawn.
    Evaluate,
}

impl Stage {
    /// The stage's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Detect => "detect",
            Self::Crop => "crop",
            Self::Embed => "embed",
            Self::Dedupe => "dedupe",
            Self::Caption => "caption",
            Self::Review => "review",
            Self::Dataset => "dataset",
            Self::Export => "export",
            Self::Train => "train",
            Self::Deploy => "deploy",
            Self::Generate => "generate",
            Self::Evaluate => "evaluate",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Any failure of picchu: an opaque value with a [`kind`](Error::kind), the stage, the context and the cause.
///
/// ```
/// use picchu::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::InvalidInput, "min_similarity is 1.5; it must be above -1 and at most 1");
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert!(!error.is_retryable());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    stage: Option<Stage>,
    provider: Option<String>,
    context: Vec<(&'static str, String)>,
    retryable: Option<bool>,
    gap: Option<Gap>,
    usage: Usage,
    source: Option<BoxError>,
}

impl Error {
    /// An error of a kind. The message says what happened, to what, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            stage: None,
            provider: None,
            context: Vec::new(),
            retryable: None,
            gap: None,
            usage: Usage::default(),
            source: None,
        }))
    }

    /// Shorthand for [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An input/output error on `path`, with the kind that fits.
    pub fn io(action: &str, path: &std::path::Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists => ErrorKind::AlreadyExists,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::QuotaExceeded,
            Io::TimedOut => ErrorKind::Timeout,
            Io::IsADirectory | Io::NotADirectory | Io::InvalidFilename | Io::InvalidInput => {
                ErrorKind::InvalidInput
            }
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, format!("cannot {action} {}: {source}", path.display())).with_source(source)
    }

    /// Names the stage, unless one is named already.
    #[must_use]
    pub fn at(mut self, stage: Stage) -> Self {
        self.0.stage.get_or_insert(stage);
        self
    }

    /// Names the implementation that failed.
    #[must_use]
    pub fn with_provider(mut self, provider: impl Into<String>) -> Self {
        self.0.provider = Some(provider.into());
        self
    }

    /// Adds a key and a value that help to find the cause. Never put secrets here.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Keeps the error from below.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says whether the same call may succeed later, where the kind alone does not tell.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = Some(retryable);
        self
    }

    /// Marks a stretch of film that could not be delivered. More frames may follow such an error.
    #[must_use]
    pub fn with_gap(mut self, gap: Gap) -> Self {
        self.0.gap = Some(gap);
        self
    }

    /// Says what was paid for all the same: a refused answer costs as much as any other.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.0.usage = usage;
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, in words.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The stage in which it happened, if known.
    pub fn stage(&self) -> Option<Stage> {
        self.0.stage
    }

    /// The implementation that failed, if known.
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// Keys and values that help to find the cause.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// The stretch of film that is missing, when this error stands for one; the stream goes on after it.
    pub fn gap(&self) -> Option<&Gap> {
        self.0.gap.as_ref()
    }

    /// What the failed call cost.
    pub fn usage(&self) -> Usage {
        self.0.usage
    }

    /// Whether the same call may succeed when tried again.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable.unwrap_or(matches!(
            self.0.kind,
            ErrorKind::Throttled | ErrorKind::Timeout | ErrorKind::Unavailable
        ))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = self.0.stage {
            write!(f, "{stage}: ")?;
        }
        if let Some(provider) = &self.0.provider {
            write!(f, "{provider}: ")?;
        }
        f.write_str(&self.0.message)?;
        if !self.0.context.is_empty() {
            let pairs: Vec<String> = self.0.context.iter().map(|(k, v)| format!("{k}={v}")).collect();
            write!(f, " ({})", pairs.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("stage", &self.0.stage)
            .field("provider", &self.0.provider)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// Adds a stage to the error of a result.
pub trait AtStage<T> {
    /// Names the stage, unless one is named already.
    ///
    /// # Errors
    /// The same error, with its stage.
    fn at(self, stage: Stage) -> Result<T>;
}

impl<T> AtStage<T> for Result<T> {
    fn at(self, stage: Stage) -> Result<T> {
        self.map_err(|e| e.at(stage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_stage_provider_and_context() {
        let error = Error::new(ErrorKind::Throttled, "slow down")
            .at(Stage::Caption)
            .at(Stage::Detect)
            .with_provider("fake")
            .with_context("record", "r-1");
        assert_eq!(error.to_string(), "caption: fake: slow down (record=r-1)");
        assert!(error.is_retryable());
        assert!(!error.with_retryable(false).is_retryable());
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(ErrorKind::from_name("bad luck"), None);
    }

    #[test]
    fn io_errors_keep_path_and_kind() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::io("open", std::path::Path::new("film.mp4"), source);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("cannot open film.mp4"));
        assert!(std::error::Error::source(&error).is_some());
    }
}
