//! From the services' errors to [`ErrorKind`], in one place and by the code that the service sent.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::{client::result::SdkError, http::Response};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

use crate::error::{Error, ErrorKind};

/// Most characters of a service's message that an error repeats.
const MAX_MESSAGE_CHARS: usize = 600;

/// An error of a call, with the service's own words, its code and its request id.
///
/// `call` names service and operation, for example `rekognition DetectLabels`.
pub(crate) fn service_error<E>(call: &str, error: SdkError<E, Response>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let request_id = error.request_id().map(str::to_owned);
    let status = error.raw_response().map(|r| r.status().as_u16());
    let mapped = match &error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let words = meta.message().unwrap_or("the service gave no reason");
            let (kind, retryable) = classify(meta.code(), status, words);
            let code = meta.code().unwrap_or("no code");
            Error::new(kind, format!("{call} was refused: {} ({code})", shorten(words)))
                .with_retryable(retryable)
        }
        SdkError::TimeoutError(_) => Error::new(ErrorKind::Timeout, format!("{call} did not answer in time")),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            Error::new(ErrorKind::Timeout, format!("{call} could not connect in time"))
        }
        SdkError::DispatchFailure(_) => match cause::<CredentialsError>(&error) {
            Some(e) => provider_error(e),
            None => Error::new(
                ErrorKind::Unavailable,
                format!("{call} could not reach the service: {}", deepest(&error)),
            ),
        },
        SdkError::ResponseError(_) => Error::new(
            ErrorKind::Unavailable,
            format!("{call} got an answer that breaks off or is not understood: {}", deepest(&error)),
        ),
        SdkError::ConstructionFailure(_) => match cause::<CredentialsError>(&error) {
            Some(e) => provider_error(e),
            None => Error::invalid(format!("{call} cannot be sent: {}", deepest(&error))),
        },
        _ => Error::internal(format!("{call} failed: {}", deepest(&error))),
    };
    let mapped = match request_id {
        Some(id) => mapped.with_context("request_id", id),
        None => mapped,
    };
    match status {
        Some(status) => mapped.with_context("status", status).with_source(error),
        None => mapped.with_source(error),
    }
}

/// What to say where credentials are missing, expired or unreadable. The provider's words name no secret.
pub(crate) fn credentials_error(why: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "no AWS credentials can be used: {}. Sign in (`aws sso login`), choose a profile with --aws-profile or \
             AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            shorten(why)
        ),
    )
}

/// What a provider of credentials says: in its own words where it is the application's.
pub(crate) fn provider_error(error: &CredentialsError) -> Error {
    match cause::<Error>(error) {
        Some(own) => Error::new(own.kind(), own.message()),
        None => credentials_error(&error.to_string()),
    }
}

/// The kind, and whether the same call may succeed later.
fn classify(code: Option<&str>, status: Option<u16>, words: &str) -> (ErrorKind, bool) {
    use ErrorKind as K;
    // Codes may come with a namespace before or an address behind.
    let code = code.unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or(code);
    let code = code.split(':').next().unwrap_or(code);
    let code = code.strip_suffix("Exception").unwrap_or(code);
    match code {
        "Throttling"
        | "Throttled"
        | "ProvisionedThroughputExceeded"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "SlowDown"
        | "BandwidthLimitExceeded" => (K::Throttled, true),
        "InternalServerError"
        | "InternalServer"
        | "InternalFailure"
        | "InternalError"
        | "ServiceUnavailable"
        | "ModelError"
        | "ModelStreamError"
        | "ModelNotReady" => (K::Unavailable, true),
        "RequestTimeout" | "ModelTimeout" => (K::Timeout, true),
        "AccessDenied"
        | "UnrecognizedClient"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "InvalidAccessKeyId"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "AllAccessDisabled"
        | "OptInRequired"
        | "NotAuthorized"
        | "ExpiredToken"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => (K::PermissionDenied, false),
        // A model that is retired answers 404, sometimes with words that sound like permissions. Neither is.
        "ResourceNotFound" if retired(words) => (K::Config, false),
        "ResourceNotFound" | "NoSuchKey" | "NoSuchBucket" | "NoSuchEntity" | "NotFound" => {
            (K::NotFound, false)
        }
        "ResourceAlreadyExists"
        | "EntityAlreadyExists"
        | "BucketAlreadyExists"
        | "BucketAlreadyOwnedByYou"
        | "PreconditionFailed" => (K::AlreadyExists, false),
        // Too many collections, projects, running models: trying again at once does not help.
        "LimitExceeded" | "ServiceQuotaExceeded" | "HumanLoopQuotaExceeded" | "ResourceLimitExceeded" => {
            (K::QuotaExceeded, false)
        }
        "ResourceNotReady" | "ResourceInUse" | "Conflict" | "ConditionalRequestConflict" => {
            (K::Unavailable, false)
        }
        "Validation" if blocked(words) => (K::ContentFiltered, false),
        "ImageTooLarge"
        | "InvalidImageFormat"
        | "InvalidParameter"
        | "InvalidS3Object"
        | "InvalidPaginationToken"
        | "Validation"
        | "MalformedPolicyDocument"
        | "EntityTooLarge"
        | "IdempotentParameterMismatch" => (K::InvalidInput, false),
        _ => match status {
            Some(429) => (K::Throttled, true),
            Some(408) => (K::Timeout, true),
            Some(500..) => (K::Unavailable, true),
            Some(401 | 403) => (K::PermissionDenied, false),
            Some(404) if retired(words) => (K::Config, false),
            Some(404) => (K::NotFound, false),
            Some(409) => (K::Unavailable, false),
            Some(412) => (K::AlreadyExists, false),
            Some(400..) => (K::InvalidInput, false),
            _ => (K::Unavailable, true),
        },
    }
}

/// Whether a 404 says that a model is retired, whatever else it says.
fn retired(words: &str) -> bool {
    let words = words.to_lowercase();
    ["marked by provider as legacy", "end of its life", "end of life", "is no longer available"]
        .iter()
        .any(|phrase| words.contains(phrase))
}

/// Whether a refusal is the answer of a content filter.
fn blocked(words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains("content filter")
        || words.contains("blocked by our content")
        || words.contains("responsible ai")
}

/// The first cause of a type.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    error.downcast_ref().or_else(|| cause(error.source()?))
}

/// The words of the innermost cause, which say most.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    match error.source() {
        Some(source) => deepest(source),
        None => shorten(&error.to_string()),
    }
}

/// Services' words, on one line and not too many of them.
fn shorten(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_and_statuses_stand_in() {
        use ErrorKind as K;
        for (code, status, words, kind, retryable) in [
            (Some("ProvisionedThroughputExceededException"), 400, "", K::Throttled, true),
            (Some("ThrottlingException"), 500, "", K::Throttled, true),
            (Some("com.amazonaws.rekognition#ThrottlingException"), 400, "", K::Throttled, true),
            (Some("ThrottlingException:http://internal.amazon.com/"), 400, "", K::Throttled, true),
            (Some("InternalServerError"), 500, "", K::Unavailable, true),
            (Some("LimitExceededException"), 400, "", K::QuotaExceeded, false),
            (Some("InvalidParameterException"), 400, "", K::InvalidInput, false),
            (Some("AccessDeniedException"), 403, "", K::PermissionDenied, false),
            (Some("ExpiredTokenException"), 403, "", K::PermissionDenied, false),
            (Some("ResourceNotFoundException"), 404, "no such collection", K::NotFound, false),
            (
                Some("ResourceNotFoundException"),
                404,
                "Access denied. This Model is marked by provider as Legacy and you have not been actively using it",
                K::Config,
                false,
            ),
            (
                Some("ResourceNotFoundException"),
                404,
                "This model version has reached the end of its life. Please refer to the AWS documentation.",
                K::Config,
                false,
            ),
            (
                Some("ValidationException"),
                400,
                "This request has been blocked by our content filters. Our filters automatically flagged it",
                K::ContentFiltered,
                false,
            ),
            (Some("ValidationException"), 400, "image too small", K::InvalidInput, false),
            (Some("ResourceNotReadyException"), 400, "", K::Unavailable, false),
            (Some("SomethingNewException"), 503, "", K::Unavailable, true),
            (Some("SomethingNewException"), 400, "", K::InvalidInput, false),
            (None, 429, "", K::Throttled, true),
            (None, 403, "", K::PermissionDenied, false),
        ] {
            assert_eq!(classify(code, Some(status), words), (kind, retryable), "{code:?} {status} {words}");
        }
        assert_eq!(classify(None, None, ""), (K::Unavailable, true));
    }

    /// What the service, or the way to it, does with a call.
    #[cfg(feature = "aws-rekognition")]
    #[derive(Clone, Copy, Debug)]
    enum Does {
        Answers(u16, &'static str, &'static str),
        TimesOut,
        Breaks,
    }

    #[cfg(feature = "aws-rekognition")]
    impl aws_smithy_runtime_api::client::http::HttpConnector for Does {
        fn call(
            &self,
            _: aws_smithy_runtime_api::client::orchestrator::HttpRequest,
        ) -> aws_smithy_runtime_api::client::http::HttpConnectorFuture {
            use aws_smithy_runtime_api::client::{http::HttpConnectorFuture, result::ConnectorError};

            HttpConnectorFuture::ready(match *self {
                Self::Answers(status, code, words) => {
                    let body = serde_json::json!({"__type": code, "message": words}).to_string();
                    let mut response = Response::new(status.try_into().unwrap(), body.into());
                    response.headers_mut().insert("x-amzn-requestid", "req-7");
                    Ok(response)
                }
                Self::TimesOut => Err(ConnectorError::timeout("too slow".into())),
                Self::Breaks => Err(ConnectorError::io("the line is cut".into())),
            })
        }
    }

    /// The way through the SDK: from the bytes of an answer to an error of this crate.
    #[cfg(feature = "aws-rekognition")]
    #[tokio::test]
    async fn answers_become_errors_with_the_services_words_and_no_secret() {
        use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

        for (does, kind, retryable, words) in [
            (
                Does::Answers(400, "ThrottlingException", "slower"),
                ErrorKind::Throttled,
                true,
                "slower (ThrottlingException)",
            ),
            (Does::Answers(500, "InternalServerError", "oh"), ErrorKind::Unavailable, true, "oh"),
            (
                Does::Answers(400, "AccessDeniedException", "no\u{7}\nentry"),
                ErrorKind::PermissionDenied,
                false,
                "no  entry (AccessDeniedException)",
            ),
            (Does::Answers(400, "LimitExceededException", "full"), ErrorKind::QuotaExceeded, false, "full"),
            (
                Does::Answers(400, "SomethingNewException", "?"),
                ErrorKind::InvalidInput,
                false,
                "SomethingNew",
            ),
            (Does::TimesOut, ErrorKind::Timeout, true, "in time"),
            (Does::Breaks, ErrorKind::Unavailable, true, "the line is cut"),
        ] {
            let client = http_client_fn(move |_, _| SharedHttpConnector::new(does));
            let context =
                crate::aws::AwsContext::with_keys("us-east-1", "http://nowhere", "an-id", "a-secret");
            let sdk = context.single_attempts().to_builder().http_client(client).build();
            let call = aws_sdk_rekognition::Client::new(&sdk).list_collections().send().await;
            let error = service_error("rekognition ListCollections", call.unwrap_err());
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{does:?}: {error}");
            assert!(error.to_string().contains(words), "{does:?}: {error}");
            assert!(!format!("{error:?}").contains("a-secret"), "{error:?}");
            let id = error.context().iter().any(|(key, value)| *key == "request_id" && value == "req-7");
            assert_eq!(id, matches!(does, Does::Answers(..)), "{error}");
        }
    }
}
