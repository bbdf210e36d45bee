//! An S3 service that others wrote: `moto` 5.2.5 or later, where it is installed (`make test` does). Some earlier ones name the
//! root of an answer otherwise than S3.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use picchu::aws::AwsContext;

/// A running service; it ends with this value.
#[derive(Debug)]
pub(crate) struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    /// Starts one, or says that it is not installed.
    #[allow(clippy::print_stdout)] // a skipped case must be seen
    pub(crate) async fn start() -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/moto_server");
        let child = [own, "moto_server"].into_iter().find_map(|program| {
            Command::new(program)
                .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
        let Some(child) = child else {
            println!("skipped: moto_server is not installed; pip install 'moto[s3,sqs,server]>=5.2.5'");
            return None;
        };
        let moto = Self { child, address: format!("http://127.0.0.1:{port}") };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(moto);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("moto_server does not answer");
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn context(&self) -> AwsContext {
        AwsContext::with_keys("us-east-1", &self.address, "an-id", "a-secret")
    }

    pub(crate) async fn create_bucket(&self, bucket: &str) {
        let answer = self.send("PUT", &format!("/{bucket}"), &[], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Sends one request as it is.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> MotoAnswer {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let host = self.address.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
        let more =
            headers.iter().fold(String::new(), |more, (name, value)| more + name + ": " + value + "\r\n");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (first, head) = head.split_once("\r\n").unwrap();
        MotoAnswer {
            status: first.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}

/// What moto answered.
#[derive(Debug)]
pub(crate) struct MotoAnswer {
    pub(crate) status: u16,
    #[cfg_attr(not(feature = "aws-sqs"), allow(dead_code))]
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    #[cfg_attr(not(feature = "aws-sqs"), allow(dead_code))]
    pub(crate) body: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
