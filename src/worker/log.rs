//! What a worker tells: one JSON object a line, with the numbers that `CloudWatch` makes metrics of.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value, json};

/// The metrics' namespace.
const NAMESPACE: &str = "Picchu";

/// Writes one JSON object a line. Every line has `time_ms`, `level`, `event` and `worker`; those about a film also `run`
/// and `film`. Clones write to the same place.
#[derive(Clone)]
pub struct Log {
    out: Arc<Mutex<dyn Write + Send>>,
    about: Map<String, Value>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("about", &self.about).finish_non_exhaustive()
    }
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All is well.
    Info,
    /// Something went wrong that is dealt with.
    Warn,
    /// A film or the worker failed.
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Log {
    /// Lines of a new worker go to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        let mut about = Map::new();
        about.insert("worker".into(), crate::store::token().into());
        Self { out: Arc::new(Mutex::new(out)), about }
    }

    /// The same with one more field on every line.
    pub(super) fn about(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut log = self.clone();
        log.about.insert(name.into(), value.into());
        log
    }

    /// The value of a field that stands on every line.
    pub(super) fn field(&self, name: &str) -> &str {
        self.about.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Writes a line.
    pub(super) fn say(&self, level: Level, event: &str, more: Value) {
        let mut line = self.about.clone();
        if let Value::Object(more) = more {
            line.extend(more);
        }
        line.insert("level".into(), level.as_str().into());
        line.insert("event".into(), event.into());
        self.write(line);
    }

    /// Writes the numbers of one film in the embedded metric format, by its outcome.
    pub(super) fn metrics(&self, outcome: &str, numbers: &[(&str, &str, f64)]) {
        let mut line = self.about.clone();
        let named: Vec<Value> =
            numbers.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let metrics = json!([{"Namespace": NAMESPACE, "Dimensions": [["Outcome"]], "Metrics": named}]);
        line.insert("_aws".into(), json!({"Timestamp": crate::now_ms(), "CloudWatchMetrics": metrics}));
        line.insert("Outcome".into(), outcome.into());
        line.extend(numbers.iter().map(|(name, _, value)| ((*name).to_owned(), json!(value))));
        line.insert("level".into(), Level::Info.as_str().into());
        line.insert("event".into(), "metrics".into());
        self.write(line);
    }

    fn write(&self, mut line: Map<String, Value>) {
        line.insert("time_ms".into(), crate::now_ms().into());
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Work goes on where nobody reads the log any more.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A log that is kept.
    #[derive(Clone, Default)]
    pub(in crate::worker) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        pub(in crate::worker) fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    #[test]
    fn lines_are_json_whatever_a_film_is_called() {
        let kept = Kept::default();
        let log = Log::new(kept.clone()).about("film", "s3://b/a\n{\"level\":\"error\"}\u{1b}[31m.mp4");
        log.say(Level::Info, "begun", json!({"attempt": 1}));
        log.metrics("done", &[("Films", "Count", 1.0), ("Seconds", "Seconds", 2.5)]);
        let lines = kept.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["level"], &lines[0]["attempt"]), (&json!("info"), &json!(1)));
        assert_eq!(lines[0]["worker"], lines[1]["worker"]);
        // The form: every metric that is named stands beside, and so does every dimension.
        let directive = &lines[1]["_aws"]["CloudWatchMetrics"][0];
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(lines[1][metric["Name"].as_str().unwrap()].is_number());
        }
        assert!(lines[1][directive["Dimensions"][0][0].as_str().unwrap()].is_string());
        assert!(lines[1]["_aws"]["Timestamp"].is_u64());
    }
}
