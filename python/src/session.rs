//! The keys and the Region of a `boto3.Session`.

use std::sync::Arc;

use picchu::{
    Error, ErrorKind, Result,
    aws::{KeySource, Keys, use_keys},
};
use pyo3::prelude::*;

#[derive(Debug)]
struct Session(Py<PyAny>);

impl KeySource for Session {
    fn region(&self) -> Option<String> {
        Python::try_attach(|py| self.0.bind(py).getattr("region_name").ok()?.extract().ok()).flatten()
    }

    fn keys(&self) -> Result<Keys> {
        let read = |py: Python<'_>| -> PyResult<Option<Keys>> {
            let credentials = self.0.bind(py).call_method0("get_credentials")?;
            if credentials.is_none() {
                return Ok(None);
            }
            // Renewed by the session where they are about to end.
            let frozen = credentials.call_method0("get_frozen_credentials")?;
            Ok(Some(Keys {
                access_key_id: frozen.getattr("access_key")?.extract()?,
                secret_access_key: frozen.getattr("secret_key")?.extract()?,
                session_token: frozen.getattr("token")?.extract()?,
            }))
        };
        let denied = |words: String| Error::new(ErrorKind::PermissionDenied, words);
        match Python::try_attach(read) {
            Some(Ok(Some(keys))) => Ok(keys),
            Some(Ok(None)) => Err(denied("the session has no credentials".into())),
            // What boto3 says of its sources; it does not tell their contents.
            Some(Err(raised)) => Err(denied(format!("the session gave no credentials: {raised}"))),
            None => Err(denied("Python is ending".into())),
        }
    }
}

/// Has all calls take keys and Region from a session; from the environment again for `None`.
#[pyfunction]
pub(crate) fn use_session(session: Option<Py<PyAny>>) {
    use_keys(session.map(|session| Arc::new(Session(session)) as Arc<dyn KeySource>));
}
