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
            println!("skipped: moto_server is not installed; pip install 'moto[s3,server]>=5.2.5'");
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
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let host = self.address.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
        let request = format!(
            "PUT /{bucket} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
