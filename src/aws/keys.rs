//! Credentials that the application around picchu has and keeps fresh.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use aws_config::Region;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};

use crate::error::Result;

/// For how long keys are used before their source is asked again. It decides when they are renewed.
const KEPT: Duration = Duration::from_mins(1);

/// An access key with its secret. `Debug` shows neither.
#[derive(Clone)]
pub struct Keys {
    /// Its id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The token of keys that end.
    pub session_token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Who has keys, and renews them.
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// The Region that belongs to them, where none is named otherwise.
    fn region(&self) -> Option<String> {
        None
    }

    /// Keys that are good for some minutes.
    ///
    /// # Errors
    /// Where there are none. The message is shown; it must not hold a secret.
    fn keys(&self) -> Result<Keys>;
}

static OF_PROCESS: RwLock<Option<Arc<dyn KeySource>>> = RwLock::new(None);

/// Has every [`AwsContext::from_env`](super::AwsContext::from_env) of this process take its keys from here, instead of from
/// the environment and the AWS files; `None` ends that.
pub fn use_keys(source: Option<Arc<dyn KeySource>>) {
    *OF_PROCESS.write().unwrap_or_else(PoisonError::into_inner) = source;
}

/// The source of this process, if it has one.
pub(super) fn of_process() -> Option<Source> {
    OF_PROCESS.read().unwrap_or_else(PoisonError::into_inner).clone().map(Source)
}

/// A source as the SDK asks it.
#[derive(Clone, Debug)]
pub(super) struct Source(Arc<dyn KeySource>);

impl Source {
    pub(super) fn region(&self) -> Option<Region> {
        self.0.region().map(Region::new)
    }
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let keys = self.0.keys().map_err(CredentialsError::provider_error);
        future::ProvideCredentials::ready(keys.map(|keys| {
            let Keys { access_key_id, secret_access_key, session_token } = keys;
            let until = SystemTime::now() + KEPT;
            Credentials::new(access_key_id, secret_access_key, session_token, Some(until), "application")
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl KeySource for Counted {
        fn keys(&self) -> Result<Keys> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(Keys {
                    access_key_id: "AKIAONE".into(),
                    secret_access_key: "a-secret".into(),
                    session_token: Some("a-token".into()),
                }),
                _ => Err(Error::new(ErrorKind::PermissionDenied, "the session is over")),
            }
        }
    }

    #[tokio::test]
    async fn keys_are_asked_for_again_and_told_to_nobody() {
        let source = Source(Arc::new(Counted::default()));
        let keys = source.provide_credentials().await.unwrap();
        assert_eq!((keys.access_key_id(), keys.session_token()), ("AKIAONE", Some("a-token")));
        assert!(keys.expiry().unwrap() <= SystemTime::now() + KEPT);
        let refused = source.provide_credentials().await.unwrap_err();
        assert!(format!("{refused:?}").contains("the session is over"), "{refused:?}");
        let keys = Keys {
            access_key_id: "AKIAONE".into(),
            secret_access_key: "a-secret".into(),
            session_token: None,
        };
        assert_eq!(format!("{keys:?}"), "Keys { .. }");
    }
}
