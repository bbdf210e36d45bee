//! Captions by OpenAI-compatible servers, over real HTTP.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::stream;
use image::RgbImage;
use picchu::{
    Captioner, Cast, ErrorKind,
    caption::{CaptionPrompt, VisionCaptioner},
    layers::Meter,
    local::openai::{OpenAiModel, OpenAiSettings},
    types::{BoundingBox, CaptionRequest, Crop, PixelRect, Subject},
};
use serde_json::{Value, json};

const KEY: &str = "sk-a-key-that-must-show-nowhere";

type Said = (u16, String);

#[derive(Default)]
struct Server {
    answers: Mutex<VecDeque<Said>>,
    seen: Mutex<Vec<(String, Option<String>, Value)>>,
}

async fn handle(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 32 << 20).await.unwrap();
    let key = parts.headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
    let json = serde_json::from_slice(&body).unwrap();
    server.seen.lock().unwrap().push((parts.uri.path().to_owned(), key, json));
    let (status, text) = server.answers.lock().unwrap().pop_front().unwrap();
    match status {
        // In the middle of the body the connection ends.
        0 => {
            let parts = [Ok(Bytes::from_static(b"{\"choi")), Err(std::io::Error::other("gone"))];
            Response::builder()
                .header("content-length", "900")
                .body(Body::from_stream(stream::iter(parts)))
                .unwrap()
        }
        1 => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Response::new(Body::empty())
        }
        status => Response::builder().status(status).body(Body::from(text)).unwrap(),
    }
}

async fn start(answers: impl IntoIterator<Item = Said>) -> (Arc<Server>, String) {
    let server = Arc::new(Server { answers: Mutex::new(answers.into_iter().collect()), ..Server::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let app = Router::new().fallback(handle).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (server, url)
}

fn captioner(settings: OpenAiSettings) -> VisionCaptioner<OpenAiModel> {
    let model = OpenAiModel::new(settings, Some(KEY), Arc::new(Meter::default())).unwrap();
    VisionCaptioner::new(model, CaptionPrompt::new(&Cast::default()))
}

fn request() -> CaptionRequest {
    CaptionRequest {
        record: "film-1".into(),
        crop: Crop {
            rect: PixelRect::new(0, 0, 640, 480),
            scale: 1.0,
            image: RgbImage::new(640, 480).into(),
        },
        subjects: vec![Subject {
            character: "Penny".into(),
            bounding_box: BoundingBox::new(0.2, 0.2, 0.5, 0.7),
        }],
        attempt: 0,
        refusal: None,
    }
}

fn choice(message: &Value, finish: &str) -> Said {
    let body = json!({
        "id": "x", "object": "chat.completion", "system_fingerprint": null, "timings": {"ms": 3},
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": null}],
        "usage": {"prompt_tokens": 812, "completion_tokens": 31, "total_tokens": 843},
    });
    (200, body.to_string())
}

fn text(text: &str) -> Said {
    choice(&json!({"role": "assistant", "content": text}), "stop")
}

#[tokio::test]
async fn the_request_is_what_servers_take_and_every_answer_is_understood() {
    let caption = "Penny waves.";
    let answers = [
        text(caption),
        text("<think>hm</think>{\"caption\": \"Penny waves.\"}"),
        choice(&json!({"role": "assistant", "content": [{"type": "text", "text": caption}]}), "stop"),
        choice(
            &json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function":
                {"name": "record_caption", "arguments": "{\"caption\": \"Penny waves.\"}"}}]}),
            "tool_calls",
        ),
        (200, json!({"choices": [{"message": {"content": caption}}]}).to_string()),
    ];
    let count = answers.len();
    let (server, url) = start(answers).await;
    let captioner = captioner(OpenAiSettings { tools: true, ..OpenAiSettings::new(url, "llava:7b") });
    for n in 0..count {
        let told = captioner.caption(&request()).await.unwrap();
        assert_eq!((told.text.as_str(), told.model.as_str()), (caption, "llava:7b"));
        let tokens = if n + 1 < count { (812, 31) } else { (0, 0) };
        assert_eq!((told.usage.input_tokens, told.usage.output_tokens), tokens);
    }
    let seen = server.seen.lock().unwrap();
    let (path, key, body) = &seen[0];
    assert_eq!(
        (path.as_str(), key.as_deref()),
        ("/v1/chat/completions", Some(format!("Bearer {KEY}").as_str()))
    );
    assert_eq!(
        (&body["model"], &body["stream"], &body["max_tokens"]),
        (&json!("llava:7b"), &json!(false), &json!(300))
    );
    let content = &body["messages"][1]["content"];
    let url = content[0]["image_url"]["url"].as_str().unwrap();
    let jpeg = BASE64_STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
    assert_eq!(image::load_from_memory(&jpeg).unwrap().width(), 640);
    assert!(content[1]["text"].as_str().unwrap().contains("Penny"));
    assert_eq!(body["tool_choice"]["function"]["name"], "record_caption");
}

#[tokio::test]
async fn trouble_is_survived_or_typed_and_the_key_shows_nowhere() {
    let (server, url) = start([
        (429, "{\"error\": {\"message\": \"slow down\"}}".into()),
        (503, "loading model".into()),
        (0, String::new()),
        (1, String::new()),
        (200, "{\"choices\": [".into()),
        text("Penny waves."),
    ])
    .await;
    let settings = OpenAiSettings { timeout: 0.5, attempts: 6, ..OpenAiSettings::new(&url, "m") };
    assert_eq!(captioner(settings).caption(&request()).await.unwrap().text, "Penny waves.");
    let settings = OpenAiSettings { attempts: 1, ..OpenAiSettings::new(&url, "m") };
    let captioner = captioner(settings);
    for (answers, kind) in [
        (vec![(200, "{\"choices\": []}".to_owned())], ErrorKind::Decode),
        (vec![choice(&json!({"content": "Penny wa"}), "length")], ErrorKind::Decode),
        (vec![choice(&json!({"content": null}), "stop")], ErrorKind::Decode),
        (vec![(401, format!("{{\"error\": \"wrong key {KEY}\"}}"))], ErrorKind::PermissionDenied),
        (vec![(404, "{\"error\": {\"message\": \"model 'm' not found\"}}".to_owned())], ErrorKind::NotFound),
        (vec![(400, "no vision".to_owned())], ErrorKind::InvalidInput),
        (
            vec![(429, "{\"error\": {\"message\": \"You exceeded your current quota\"}}".to_owned())],
            ErrorKind::QuotaExceeded,
        ),
        (vec![(302, String::new())], ErrorKind::Config),
        (
            vec![text("I'm sorry, I can't."), choice(&json!({"content": "", "refusal": "No."}), "stop")],
            ErrorKind::ContentFiltered,
        ),
    ] {
        server.answers.lock().unwrap().extend(answers);
        let error = captioner.caption(&request()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?} {error}").contains(KEY), "{error}");
    }
    assert!(!format!("{captioner:?}").contains(KEY));
}

#[test]
fn settings_are_checked() {
    for (url, part) in [
        ("localhost:11434", "no http address"),
        ("ftp://host/v1", "no http address"),
        ("http://me:secret@host/v1", "password"),
        ("", "no http address"),
    ] {
        let error =
            OpenAiModel::new(OpenAiSettings::new(url, "m"), None, Arc::new(Meter::default())).unwrap_err();
        assert!(error.message().contains(part) && !error.message().contains("secret"), "{url}: {error}");
    }
    assert!(
        OpenAiModel::new(OpenAiSettings::new("http://h/v1", ""), None, Arc::new(Meter::default())).is_err()
    );
}
