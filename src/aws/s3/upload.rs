//! Writing one object, whole or not at all.

use aws_sdk_s3::{
    Client,
    operation::create_multipart_upload::CreateMultipartUploadOutput,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Encryption, RETRY};
use crate::{
    aws::service_error,
    error::{Error, ErrorKind, Result},
    store::PutMode,
};

/// From this size on, an object is sent in parts, and the smallest part.
const PART: usize = 8 << 20;
/// Most parts of an object.
const MAX_PARTS: usize = 10_000;
/// Parts sent at once.
const PARTS_AT_ONCE: usize = 4;

/// One object to be written.
pub(super) struct Upload<'a> {
    pub(super) client: &'a Client,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) body: Bytes,
    pub(super) mode: PutMode,
    pub(super) encryption: &'a Encryption,
}

/// How an upload ended.
pub(super) enum Outcome {
    /// The object is there.
    Written,
    /// A conditional write found an object: another's, unless an earlier attempt's answer was lost.
    Taken { uncertain: bool },
}

/// How one attempt ended.
enum Attempt {
    Written,
    Taken,
    /// The key was being deleted at that moment: to be begun anew.
    Conflict(Error),
}

impl Upload<'_> {
    /// Writes the object, with attempts after passing failures.
    pub(super) async fn run(&self) -> Result<Outcome> {
        let (mut failures, mut uncertain) = (0, false);
        loop {
            let attempt = if self.body.len() > PART { self.in_parts().await } else { self.in_one().await };
            match attempt {
                Ok(Attempt::Written) => return Ok(Outcome::Written),
                Ok(Attempt::Taken) => return Ok(Outcome::Taken { uncertain }),
                Ok(Attempt::Conflict(e)) => RETRY.again(e.with_retryable(true), &mut failures).await?,
                Err(e) => {
                    // The service may have done what it could not confirm any more.
                    uncertain |= e.kind() != ErrorKind::Throttled;
                    RETRY.again(e, &mut failures).await?;
                }
            }
        }
    }

    fn if_none_match(&self) -> Option<String> {
        (self.mode == PutMode::CreateOnly).then(|| "*".to_owned())
    }

    async fn in_one(&self) -> Result<Attempt> {
        let (encryption, key) = self.encryption.request();
        let request = self
            .client
            .put_object()
            .bucket(self.bucket)
            .key(self.key)
            .set_if_none_match(self.if_none_match())
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key)
            .body(ByteStream::from(self.body.clone()));
        attempt(request.send().await.map(drop).map_err(|e| service_error("s3 PutObject", e)))
    }

    async fn in_parts(&self) -> Result<Attempt> {
        let (encryption, key) = self.encryption.request();
        let begun: CreateMultipartUploadOutput = self
            .client
            .create_multipart_upload()
            .bucket(self.bucket)
            .key(self.key)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key)
            .send()
            .await
            .map_err(|e| service_error("s3 CreateMultipartUpload", e))?;
        let Some(id) = begun.upload_id() else {
            return Err(Error::new(ErrorKind::Unavailable, "s3 CreateMultipartUpload gave no upload id"));
        };
        let outcome = self.send_parts(id).await;
        if !matches!(outcome, Ok(Attempt::Written)) {
            // Parts that nobody completes would stay, unseen and billed.
            let abort = self.client.abort_multipart_upload().bucket(self.bucket).key(self.key).upload_id(id);
            let _ = abort.send().await;
        }
        outcome
    }

    async fn send_parts(&self, id: &str) -> Result<Attempt> {
        let size = part_size(self.body.len());
        let parts = (0..self.body.len().div_ceil(size)).map(|n| {
            let body = self.body.slice(n * size..self.body.len().min((n + 1) * size));
            self.part(id, n as i32 + 1, body)
        });
        let parts: Vec<CompletedPart> = stream::iter(parts).buffered(PARTS_AT_ONCE).try_collect().await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(self.bucket)
            .key(self.key)
            .upload_id(id)
            .multipart_upload(parts)
            .set_if_none_match(self.if_none_match());
        attempt(request.send().await.map(drop).map_err(|e| service_error("s3 CompleteMultipartUpload", e)))
    }

    async fn part(&self, id: &str, number: i32, body: Bytes) -> Result<CompletedPart> {
        let mut failures = 0;
        loop {
            let request = self
                .client
                .upload_part()
                .bucket(self.bucket)
                .key(self.key)
                .upload_id(id)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .body(ByteStream::from(body.clone()));
            match request.send().await.map_err(|e| service_error("s3 UploadPart", e)) {
                Ok(sent) => {
                    return Ok(CompletedPart::builder()
                        .part_number(number)
                        .set_e_tag(sent.e_tag().map(str::to_owned))
                        .set_checksum_crc32(sent.checksum_crc32().map(str::to_owned))
                        .build());
                }
                Err(e) => RETRY.again(e, &mut failures).await?,
            }
        }
    }
}

/// At least 8 MiB, and so large that 10,000 parts hold the object.
fn part_size(length: usize) -> usize {
    PART.max(length.div_ceil(MAX_PARTS))
}

/// A conditional write that was refused is an answer, no failure.
fn attempt(outcome: Result<()>) -> Result<Attempt> {
    match outcome {
        Ok(()) => Ok(Attempt::Written),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Attempt::Taken),
        Err(e) if e.context().iter().any(|(key, value)| *key == "status" && value == "409") => {
            Ok(Attempt::Conflict(e))
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_any_legal_object() {
        assert_eq!(part_size(PART + 1), PART);
        let large = 200 << 30;
        assert!(large / part_size(large) < MAX_PARTS && part_size(large) <= 5 << 30);
    }
}
