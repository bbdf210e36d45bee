//! What the page asks for, and how it is answered.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State, rejection::JsonRejection},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::desk::Desk;
use crate::{
    dataset::{
        ThresholdReport,
        review_page::{Item, SCRIPT, STYLE, View, served},
    },
    error::{Error, ErrorKind, Result},
    types::{Decision, PixelRect},
};

/// Sides in pixels of pictures in the grid, and of whole frames.
const SMALL: u32 = 336;
const FRAME: u32 = 1600;
/// Decisions about ten thousand images with long captions are smaller.
const BODY: usize = 16 << 20;

type Answer<T> = std::result::Result<Json<T>, Refusal>;

/// Everything below a path.
pub(super) fn routes(below: &str, desk: Arc<Desk>) -> Router {
    let at = |path: &str| format!("{below}/{path}");
    Router::new()
        .route(&at(""), get(async || text("text/html; charset=utf-8", served())))
        .route(&at("app.js"), get(async || text("text/javascript; charset=utf-8", SCRIPT)))
        .route(&at("style.css"), get(async || text("text/css; charset=utf-8", STYLE)))
        .route(&at("api/dataset"), get(dataset))
        .route(&at("api/thresholds"), get(thresholds))
        .route(&at("api/decide"), post(decide))
        .route(&at("api/undo"), post(undo))
        .route(&at("api/lint"), post(lint))
        .route(&at("api/recut"), post(recut))
        .route(&at("image/{number}/full"), get(full))
        .route(&at("image/{number}/small"), get(small))
        .route(&at("frame/{number}"), get(frame))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(desk)
}

fn text(kind: &'static str, body: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body.into()).into_response()
}

/// An error as the page reads it.
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self(Error::invalid(rejection.body_text()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::InvalidInput | ErrorKind::Decode | ErrorKind::Unsupported => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::AlreadyExists => StatusCode::CONFLICT,
            ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
            ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(serde_json::json!({ "message": self.0.to_string() }))).into_response()
    }
}

/// The dataset, or what changed of it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    view: View,
    /// How many times something can be taken back.
    undoable: usize,
}

#[derive(Serialize)]
struct Changed {
    records: Vec<Item>,
    undoable: usize,
}

impl From<(Vec<Item>, usize)> for Changed {
    fn from((records, undoable): (Vec<Item>, usize)) -> Self {
        Self { records, undoable }
    }
}

/// A decision as the page sends it: who and when is known here.
#[derive(Deserialize)]
struct Decided {
    record: String,
    #[serde(flatten)]
    decision: Choice,
}

/// What a page may decide by itself. Images are cut here, and what is taken back is known here.
#[derive(Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
enum Choice {
    Accept,
    Reject { reason: String },
    Edit { caption: String },
    Rename { character: String },
}

impl From<Choice> for Decision {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Accept => Self::Accept,
            Choice::Reject { reason } => Self::Reject { reason },
            Choice::Edit { caption } => Self::Edit { caption },
            Choice::Rename { character } => Self::Rename { character },
        }
    }
}

#[derive(Deserialize)]
struct Written {
    record: String,
    caption: String,
}

#[derive(Deserialize)]
struct Window {
    record: String,
    rect: PixelRect,
}

#[derive(Serialize)]
struct Faults {
    faults: Vec<String>,
}

async fn dataset(State(desk): State<Arc<Desk>>) -> Answer<Shown> {
    let (view, undoable) = desk.view().await?;
    Ok(Json(Shown { view, undoable }))
}

async fn thresholds(State(desk): State<Arc<Desk>>) -> Answer<ThresholdReport> {
    Ok(Json(desk.thresholds().await?))
}

async fn decide(
    State(desk): State<Arc<Desk>>,
    body: std::result::Result<Json<Vec<Decided>>, JsonRejection>,
) -> Answer<Changed> {
    let decisions = body?.0.into_iter().map(|d| (d.record, d.decision.into())).collect();
    Ok(Json(desk.decide(decisions).await?.into()))
}

async fn undo(
    State(desk): State<Arc<Desk>>,
    body: std::result::Result<Json<serde_json::Value>, JsonRejection>,
) -> Answer<Changed> {
    let _ = body?;
    Ok(Json(desk.undo().await?.into()))
}

async fn lint(
    State(desk): State<Arc<Desk>>,
    body: std::result::Result<Json<Written>, JsonRejection>,
) -> Answer<Faults> {
    let written = body?.0;
    Ok(Json(Faults { faults: desk.lint(&written.record, &written.caption)? }))
}

async fn recut(
    State(desk): State<Arc<Desk>>,
    body: std::result::Result<Json<Window>, JsonRejection>,
) -> Answer<Changed> {
    let window = body?.0;
    Ok(Json(desk.recut(&window.record, window.rect).await?.into()))
}

/// Pictures are asked for by their content's version: they never change.
const FOREVER: &str = "private, max-age=31536000, immutable";

async fn full(State(desk): State<Arc<Desk>>, Path(number): Path<usize>) -> Response {
    picture(desk.image(number, None).await, "image/png")
}

async fn small(State(desk): State<Arc<Desk>>, Path(number): Path<usize>) -> Response {
    picture(desk.image(number, Some(SMALL)).await, "image/jpeg")
}

async fn frame(State(desk): State<Arc<Desk>>, Path(number): Path<usize>) -> Response {
    picture(desk.frame(number, FRAME).await, "image/jpeg")
}

fn picture(body: Result<bytes::Bytes>, kind: &'static str) -> Response {
    match body {
        Ok(body) => ([(CONTENT_TYPE, kind), (CACHE_CONTROL, FOREVER)], body).into_response(),
        Err(e) => Refusal(e).into_response(),
    }
}
