//! The end of a job's log.

use serde::Deserialize;
use serde_json::json;

use super::{
    calls::{LOGS, found},
    job::name_of,
};
use crate::{
    aws::{AwsContext, json_service::JsonClient},
    error::{AtStage, Result, Stage},
};

const GROUP: &str = "/aws/sagemaker/TrainingJobs";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Streams {
    #[serde(default)]
    log_streams: Vec<Stream>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stream {
    log_stream_name: String,
    #[serde(default)]
    last_event_timestamp: i64,
}

#[derive(Debug, Deserialize)]
struct Events {
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(default)]
    message: String,
}

/// The last lines of a job's log, the oldest first; none where the job has not run yet. The job is named by its ARN or its
/// name. A job that was started again has several logs: this is the one that was written last.
///
/// # Errors
/// As the service says.
pub async fn log_tail(context: &AwsContext, job: &str, lines: u32) -> Result<Vec<String>> {
    let read = async {
        let client = JsonClient::new(context, LOGS);
        let body = json!({"logGroupName": GROUP, "logStreamNamePrefix": format!("{}/", name_of(job))});
        let streams: Option<Streams> = found(client.call("logs DescribeLogStreams", &body).await)?;
        let last =
            streams.and_then(|s| s.log_streams.into_iter().max_by_key(|stream| stream.last_event_timestamp));
        let Some(last) = last else { return Ok(Vec::new()) };
        let body = json!({
            "logGroupName": GROUP, "logStreamName": last.log_stream_name, "limit": lines.clamp(1, 10_000),
            "startFromHead": false,
        });
        let events: Option<Events> = found(client.call("logs GetLogEvents", &body).await)?;
        let lines = events.map(|events| events.events).unwrap_or_default();
        Ok(lines.into_iter().map(|event| event.message.trim_end().to_owned()).collect())
    };
    read.await.at(Stage::Train)
}
