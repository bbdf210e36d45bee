//! Which services answer, asked by calls that change nothing and cost nothing.

use std::time::Duration;

use super::AwsContext;
#[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock", feature = "aws-s3"))]
use super::service_error;
use crate::error::{Error, ErrorKind, Result};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A service and what it said.
#[derive(Debug)]
pub struct ServiceAnswer {
    /// Its name, for people.
    pub service: &'static str,
    /// The question that was asked, which a policy may forbid.
    pub asked: &'static str,
    /// Whether it answered.
    pub answer: Result<()>,
}

impl ServiceAnswer {
    /// Whether the service is there and knows the credentials, and only this question is not allowed to them.
    pub fn only_refused(&self) -> bool {
        self.answer
            .as_ref()
            .is_err_and(|e| e.kind() == ErrorKind::PermissionDenied && e.message().contains("AccessDenied"))
    }
}

/// Asks every service that this build knows, all at the same time.
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) {
/// for answer in picchu::aws::ask_services(&context).await {
///     println!("{}: {}", answer.service, if answer.answer.is_ok() { "answers" } else { "does not answer" });
/// }
/// # }
/// ```
pub async fn ask_services(context: &AwsContext) -> Vec<ServiceAnswer> {
    // One attempt each: this is asked by people who wait.
    #[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock"))]
    let config = context.single_attempts();
    let ask = |service, asked, call: futures::future::BoxFuture<'static, Result<()>>| async move {
        let answer = tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, format!("no answer within {} seconds", PATIENCE.as_secs())))
        });
        ServiceAnswer { service, asked, answer }
    };
    let questions = vec![
        #[cfg(feature = "aws-rekognition")]
        {
            let client = aws_sdk_rekognition::Client::new(&config);
            let call = async move {
                let answer = client.list_collections().max_results(1).send().await;
                answer.map(drop).map_err(|e| service_error("rekognition ListCollections", e))
            };
            ask("Rekognition", "rekognition:ListCollections", Box::pin(call))
        },
        #[cfg(feature = "aws-bedrock")]
        {
            let client = aws_sdk_bedrock::Client::new(&config);
            let call = async move {
                let answer = client.list_foundation_models().send().await;
                answer.map(drop).map_err(|e| service_error("bedrock ListFoundationModels", e))
            };
            ask("Bedrock", "bedrock:ListFoundationModels", Box::pin(call))
        },
        #[cfg(feature = "aws-s3")]
        {
            let client = super::s3::client(context);
            let call = async move {
                let answer = client.list_buckets().max_buckets(1).send().await;
                answer.map(drop).map_err(|e| service_error("s3 ListBuckets", e))
            };
            ask("S3", "s3:ListAllMyBuckets", Box::pin(call))
        },
    ];
    futures::future::join_all(questions).await
}
