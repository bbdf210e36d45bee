//! A queue of Amazon SQS whose messages are worked on one by one, and never for ever.

use std::{fmt, time::Duration};

use aws_sdk_sqs::{
    Client,
    types::{MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName},
};
use serde::Deserialize;

use super::{AwsContext, service_error};
use crate::error::{Error, ErrorKind, Result};

/// Longest delay of a message that is sent.
const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// A message that was received and not deleted. Nobody else receives it before its time is up.
#[derive(Clone)]
pub struct Message {
    /// The service's name for it.
    pub id: String,
    /// What somebody sent.
    pub body: String,
    /// How often it was received, this time included.
    pub receives: u32,
    receipt: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("receives", &self.receives)
            .finish_non_exhaustive()
    }
}

/// A queue with a dead-letter queue behind it: what cannot be worked on goes there, after so many receives by itself.
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) -> picchu::Result<()> {
/// use std::time::Duration;
/// let queue = picchu::aws::Queue::open("https://sqs.us-east-1.amazonaws.com/123456789012/films", &context).await?;
/// if let Some(message) = queue.receive(Duration::from_secs(20), Duration::from_mins(2)).await? {
///     println!("{}", message.body);
///     queue.delete(&message).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
    dead_letters: String,
    max_receives: u32,
}

/// The attribute `RedrivePolicy`. Counts come as numbers and as texts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redrive {
    dead_letter_target_arn: String,
    max_receive_count: serde_json::Value,
}

impl Queue {
    /// Looks at the queue.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a queue without a dead-letter queue, in which a message that nobody can work on
    /// would come back for ever; as SQS says.
    pub async fn open(url: &str, context: &AwsContext) -> Result<Self> {
        let client = Client::new(context.sdk());
        let answer = client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::RedrivePolicy)
            .send()
            .await
            .map_err(|e| service_error("sqs GetQueueAttributes", e))?;
        let policy = answer.attributes().and_then(|all| all.get(&QueueAttributeName::RedrivePolicy));
        let Some(policy) = policy else {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the queue {url} has no dead-letter queue, so a message that nobody can work on would come back for \
                     ever; set its RedrivePolicy"
                ),
            ));
        };
        let (dead_letters, max_receives) = redrive(policy)?;
        let request = match dead_letters.rsplitn(3, ':').collect::<Vec<_>>()[..] {
            [name, account, _] => client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account),
            _ => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("{dead_letters:?} is not the ARN of a queue"),
                ));
            }
        };
        let answer = request.send().await.map_err(|e| service_error("sqs GetQueueUrl", e))?;
        let dead_letters = answer
            .queue_url()
            .ok_or_else(|| Error::new(ErrorKind::Unavailable, "sqs GetQueueUrl answered without a URL"))?
            .to_owned();
        Ok(Self { client, url: url.to_owned(), dead_letters, max_receives })
    }

    /// How often a message is received before the queue gives it up by itself.
    pub fn max_receives(&self) -> u32 {
        self.max_receives
    }

    /// Waits for a message, at most `wait` (20 seconds). Whoever gets it has `visible_after` until others get it too.
    ///
    /// # Errors
    /// As SQS says.
    pub async fn receive(&self, wait: Duration, visible_after: Duration) -> Result<Option<Message>> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(1)
            .wait_time_seconds(seconds(wait.min(Duration::from_secs(20))))
            .visibility_timeout(seconds(visible_after))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|e| service_error("sqs ReceiveMessage", e))?;
        let Some(message) = answer.messages.unwrap_or_default().pop() else { return Ok(None) };
        let count = message
            .attributes
            .as_ref()
            .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok());
        Ok(Some(Message {
            id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            receives: count.unwrap_or(1),
            receipt: message.receipt_handle.unwrap_or_default(),
        }))
    }

    /// Keeps a message from others for so long from now; with zero, gives it back.
    ///
    /// # Errors
    /// As SQS says, also where the time was up already.
    pub async fn hold(&self, message: &Message, time: Duration) -> Result<()> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(&message.receipt)
            .visibility_timeout(seconds(time))
            .send()
            .await
            .map(drop)
            .map_err(|e| service_error("sqs ChangeMessageVisibility", e))
    }

    /// Removes a message: it is done.
    ///
    /// # Errors
    /// As SQS says.
    pub async fn delete(&self, message: &Message) -> Result<()> {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(&message.receipt)
            .send()
            .await
            .map(drop)
            .map_err(|e| service_error("sqs DeleteMessage", e))
    }

    /// Puts a fresh copy of a message in its place, for work that has to wait and did not fail: it is received anew
    /// after a delay of at most 15 minutes, and its receives count from one again.
    ///
    /// # Errors
    /// As SQS says; the message may then be there twice, but is never lost.
    pub async fn postpone(&self, message: &Message, delay: Duration) -> Result<()> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(&message.body)
            .delay_seconds(seconds(delay.min(LONGEST_DELAY)))
            .send()
            .await
            .map_err(|e| service_error("sqs SendMessage", e))?;
        self.delete(message).await
    }

    /// Moves a message to the dead-letter queue now, with the reason as its attribute `Reason`.
    ///
    /// # Errors
    /// As SQS says; the message may then be there twice, but is never lost.
    pub async fn give_up(&self, message: &Message, reason: &str) -> Result<()> {
        // Attributes hold no control characters and count towards the message's size.
        let reason: String =
            reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect();
        let reason = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(if reason.is_empty() { "unknown".into() } else { reason })
            .build()
            .map_err(|e| Error::internal(format!("an attribute of a message: {e}")))?;
        self.client
            .send_message()
            .queue_url(&self.dead_letters)
            .message_body(&message.body)
            .message_attributes("Reason", reason)
            .send()
            .await
            .map_err(|e| service_error("sqs SendMessage", e))?;
        self.delete(message).await
    }

    /// Whether nothing waits in the queue, now or after a delay. Messages that somebody works on are not counted.
    ///
    /// # Errors
    /// As SQS says.
    pub async fn is_empty(&self) -> Result<bool> {
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(counts.to_vec()))
            .send()
            .await
            .map_err(|e| service_error("sqs GetQueueAttributes", e))?;
        let all = answer.attributes();
        Ok(counts.iter().all(|name| all.and_then(|all| all.get(name)).is_none_or(|count| count == "0")))
    }
}

/// The dead-letter queue's ARN and the receives before it.
fn redrive(policy: &str) -> Result<(String, u32)> {
    let fail = || Error::new(ErrorKind::Config, "the queue's RedrivePolicy is not understood");
    let policy: Redrive = serde_json::from_str(policy).map_err(|e| fail().with_source(e))?;
    let count = match &policy.max_receive_count {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|n| u32::try_from(n).ok()),
    };
    Ok((policy.dead_letter_target_arn, count.filter(|n| *n > 0).ok_or_else(fail)?))
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redrive_policies_count_in_numbers_and_in_texts() {
        let arn = "arn:aws:sqs:us-east-1:123456789012:dead";
        for count in ["5", "\"5\""] {
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{count}}}"#);
            assert_eq!(redrive(&policy).unwrap(), (arn.into(), 5));
        }
        for bad in ["", "{}", r#"{"deadLetterTargetArn":"a","maxReceiveCount":0}"#] {
            assert_eq!(redrive(bad).unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }
}
