//! Amazon Bedrock over real HTTP: what is sent, every form of answer, every kind of trouble.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{StreamExt, stream};
use image::{Rgb, RgbImage};
use picchu::{
    Captioner, Cast, Character, Embedder, ErrorKind, Pipeline, Store,
    aws::bedrock::{
        BatchJobs, BatchRecord, BatchSettings, Bedrock, ConverseModel, ConverseSettings, NovaEmbedder, Quota,
        TitanEmbedder,
    },
    caption::{Answer as Caption, CaptionPrompt, LintRules, Prompt, Tone, VisionCaptioner},
    dataset::Dataset,
    dedupe::CosineDeduper,
    layers::{Cache, Cached, Meter, Retry},
    store::{Key, MemoryStore, PutMode},
    testing::{FakeDetector, FakeEmbedder, SyntheticFilm},
    types::{BoundingBox, CaptionRequest, Crop, PixelRect, PriceTable, Subject},
};
use serde_json::{Value, json};

use crate::fake_aws::{Answer, FakeAws, Recorded, SECRET};

const CONVERSE: &str = "POST /model/amazon.nova-pro-v1%3A0/converse";
const TITAN: &str = "POST /model/amazon.titan-embed-image-v1/invoke";

fn meter() -> Arc<Meter> {
    Arc::new(Meter::new(PriceTable::built_in()))
}

fn at_once() -> Retry {
    Retry {
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(10),
        ..Retry::default()
    }
}

fn bedrock(aws: &FakeAws, model: &str, meter: Arc<Meter>) -> Bedrock {
    let quota = Quota { requests_a_minute: 1e6, tokens_a_minute: None, concurrency: 8 };
    Bedrock::new(&aws.context(), model, meter).unwrap().quota(quota).unwrap().retry(at_once())
}

fn crop(n: u32, width: u32, height: u32) -> Crop {
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * n) as u8, (y + n) as u8, n as u8]));
    Crop { rect: PixelRect::new(0, 0, width, height), scale: 1.0, image: image.into() }
}

fn request(n: u32) -> CaptionRequest {
    let subject = |name: &str, left| Subject {
        character: name.into(),
        bounding_box: BoundingBox::new(left, 0.1, 0.3, 0.8),
    };
    CaptionRequest {
        record: format!("film-{n}"),
        crop: crop(n, 600, 520),
        subjects: vec![subject("Penny", 0.0), subject("Chip", 0.6)],
        attempt: 0,
        refusal: None,
    }
}

fn cast() -> Cast {
    let character = |name: &str, looks: &str| Character {
        name: name.into(),
        description: looks.into(),
        ..Character::default()
    };
    Cast { characters: vec![character("Penny", "a blue penguin"), character("Chip", "an orange fox")] }
}

fn captioner(aws: &FakeAws, meter: Arc<Meter>) -> VisionCaptioner<ConverseModel> {
    let bedrock = bedrock(aws, ConverseModel::NOVA_PRO, meter);
    VisionCaptioner::new(
        ConverseModel::new(bedrock, ConverseSettings::default()).unwrap(),
        CaptionPrompt::new(&cast()),
    )
}

/// An answer of Converse with these blocks.
fn told(stop: &str, content: &Value) -> Answer {
    Answer::json(json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop,
        "usage": {"inputTokens": 1900, "outputTokens": 60, "totalTokens": 1960},
        "metrics": {"latencyMs": 5},
    }))
}

fn tool(caption: &str) -> Answer {
    told(
        "tool_use",
        &json!([{"toolUse": {
            "toolUseId": "t1", "name": "record_caption", "input": {"caption": caption, "names": ["Penny"]},
        }}]),
    )
}

fn words(text: &str) -> Answer {
    told("end_turn", &json!([{"text": text}]))
}

fn jpeg(base64: &Value) -> image::DynamicImage {
    let bytes = BASE64_STANDARD.decode(base64.as_str().unwrap()).unwrap();
    assert!(bytes.len() <= 5 << 20);
    image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).unwrap()
}

#[tokio::test]
async fn titan_requests_are_as_documented_and_vectors_have_length_one() {
    let aws = FakeAws::start(|_, n| {
        let values: Vec<f64> = (0..384).map(|i| f64::from(i) + n as f64 + 1.0).collect();
        Answer::json(json!({"embedding": values, "inputTextTokenCount": 0, "message": null}))
    })
    .await;
    let meter = meter();
    let titan = TitanEmbedder::new(bedrock(&aws, TitanEmbedder::MODEL, Arc::clone(&meter)), 384).unwrap();
    let crops = [crop(1, 640, 512), crop(2, 4000, 1200)];
    let rows = titan.embed(&crops).await.unwrap();
    assert_eq!((rows.len(), rows.dimensions()), (2, 384));
    assert_eq!(rows.model(), "amazon.titan-embed-image-v1-384");
    for row in rows.view().rows() {
        let norm: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((norm - 1.0).abs() < 1e-6, "{norm}");
    }
    let requests = aws.requests_of(TITAN);
    assert_eq!(requests.len(), 2);
    let mut sizes = Vec::new();
    for request in &requests {
        let body = request.json();
        assert_eq!(body["embeddingConfig"], json!({"outputEmbeddingLength": 384}));
        assert_eq!(body.as_object().unwrap().len(), 2, "nothing undocumented: {body}");
        let picture = jpeg(&body["inputImage"]);
        sizes.push((picture.width(), picture.height()));
        assert!(request.header("authorization").unwrap().contains("/us-east-1/bedrock/aws4_request"));
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [(640, 512), (2048, 614)]);
    let total = meter.total();
    assert_eq!((total.requests, total.images), (2, 2));
    assert!((total.usd - 0.00012).abs() < 1e-12);
    assert!(TitanEmbedder::new(bedrock(&aws, TitanEmbedder::MODEL, meter), 512).is_err());
}

#[tokio::test]
async fn nova_embeddings_ask_for_clustering() {
    let aws = FakeAws::start(|request, _| {
        let dimensions = request.json()["singleEmbeddingParams"]["embeddingDimension"].as_u64().unwrap();
        let values: Vec<u64> = (0..dimensions).map(|i| i + 1).collect();
        Answer::json(json!({"embeddings": [{"embeddingType": "IMAGE", "embedding": values}]}))
    })
    .await;
    for dimensions in [256, 384, 1024, 3072] {
        let nova = NovaEmbedder::new(bedrock(&aws, NovaEmbedder::MODEL, meter()), dimensions).unwrap();
        let rows = nova.embed(&[crop(3, 512, 512)]).await.unwrap();
        assert_eq!(rows.dimensions(), dimensions);
        assert!(rows.model().ends_with(&format!("-{dimensions}-clustering")), "{}", rows.model());
    }
    let sent = &aws.requests_of("POST /model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke")[0].json();
    assert_eq!(
        (&sent["schemaVersion"], &sent["taskType"]),
        (&json!("nova-multimodal-embed-v1"), &json!("SINGLE_EMBEDDING"))
    );
    let params = &sent["singleEmbeddingParams"];
    assert_eq!(params["embeddingPurpose"], "CLUSTERING");
    assert_eq!(
        (&params["image"]["format"], &params["image"]["detailLevel"]),
        (&json!("jpeg"), &json!("STANDARD_IMAGE"))
    );
    assert_eq!(jpeg(&params["image"]["source"]["bytes"]).width(), 512);
}

#[tokio::test]
async fn an_error_inside_success_and_a_wrong_length_are_errors() {
    let aws =
        FakeAws::start(|_, _| Answer::json(json!({"embedding": null, "message": "image is broken"}))).await;
    let titan = TitanEmbedder::new(bedrock(&aws, TitanEmbedder::MODEL, meter()), 256).unwrap();
    let error = titan.embed(&[crop(1, 512, 512)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("image is broken"), "{error}");
    aws.next(TITAN, [Answer::json(json!({"embedding": [1.0, 2.0]}))]);
    assert_eq!(titan.embed(&[crop(1, 512, 512)]).await.unwrap_err().kind(), ErrorKind::Decode);
    aws.next(TITAN, [Answer::json(json!({"embedding": vec![0.0; 256]}))]);
    assert_eq!(
        titan.embed(&[crop(1, 512, 512)]).await.unwrap_err().kind(),
        ErrorKind::InvalidInput,
        "no direction"
    );
}

#[tokio::test]
async fn converse_requests_are_as_documented() {
    let aws = FakeAws::start(|_, _| tool("Penny hands Chip a kite.")).await;
    let meter = meter();
    let captioner = captioner(&aws, Arc::clone(&meter));
    let mut asked = request(4);
    asked.crop = crop(4, 2400, 1300);
    let caption = captioner.caption(&asked).await.unwrap();
    assert_eq!(
        (caption.text.as_str(), caption.model.as_str()),
        ("Penny hands Chip a kite.", "amazon.nova-pro-v1:0")
    );
    assert_eq!((caption.usage.input_tokens, caption.usage.output_tokens), (1900, 60));
    assert!((caption.usage.usd - (1900.0 * 0.000_000_8 + 60.0 * 0.000_003_2)).abs() < 1e-12);
    assert_eq!(meter.total(), caption.usage);
    let body = aws.requests_of(CONVERSE)[0].json();
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
    let message = &body["messages"][0];
    assert_eq!(message["role"], "user");
    let content = message["content"].as_array().unwrap();
    assert_eq!(content[0]["image"]["format"], "jpeg", "the picture comes first");
    let picture = jpeg(&content[0]["image"]["source"]["bytes"]);
    assert_eq!((picture.width(), picture.height()), (1654, 896));
    let text = content[1]["text"].as_str().unwrap();
    assert!(
        text.contains("a blue penguin") && text.contains("middle left") && text.contains("20 to 30 words")
    );
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "record_caption"}}));
    let schema = &body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
    assert_eq!(schema["properties"]["names"]["items"]["enum"], json!(["Penny", "Chip"]));
    let inference = &body["inferenceConfig"];
    assert_eq!((&inference["maxTokens"], &inference["temperature"]), (&json!(300), &json!(0.0)));
    assert!(body["system"][0]["text"].as_str().unwrap().contains("fictional"));
    assert!(body.get("outputConfig").is_none());
}

#[tokio::test]
async fn every_form_of_answer_is_understood() {
    let aws = FakeAws::start(|_, _| Answer::error(500, "InternalServerException", "not scripted")).await;
    let captioner = captioner(&aws, meter());
    let good = "Penny and Chip fly a kite.";
    let json_text = format!("{{\"caption\": \"{good}\"}}");
    for answer in [
        tool(good),
        words(good),
        words(&json_text),
        words(&format!("```json\n{json_text}\n```")),
        words(&format!("Here is the caption:\n\n\"{good}\"")),
        told(
            "tool_use",
            &json!([{"text": "I record it."}, {"toolUse": {"toolUseId": "t", "name": "record_caption", "input": {"caption": good}}}]),
        ),
        told("a_reason_of_tomorrow", &json!([{"text": good}])),
    ] {
        aws.next(CONVERSE, [answer]);
        assert_eq!(captioner.caption(&request(1)).await.unwrap().text, good);
    }
    for (answer, kind) in [
        (told("max_tokens", &json!([{"text": "Penny and"}])), ErrorKind::Decode),
        (told("malformed_tool_use", &json!([{"text": "x"}])), ErrorKind::Decode),
        (told("end_turn", &json!([])), ErrorKind::Decode),
        (words("{\"caption\": \"Penny"), ErrorKind::Decode),
    ] {
        aws.next(CONVERSE, [answer]);
        let error = captioner.caption(&request(1)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.usage().requests, 1, "a paid answer is counted, also a bad one");
    }
}

#[tokio::test]
async fn refusals_are_retried_once_more_gently_and_then_typed() {
    let aws = FakeAws::start(|_, _| Answer::error(500, "InternalServerException", "not scripted")).await;
    let captioner = captioner(&aws, meter());
    let blocked =
        || Answer::error(400, "ValidationException", "This request has been blocked by our content filters.");
    for refusal in [
        words("I'm sorry, but I can't identify people in images."),
        told(
            "content_filtered",
            &json!([{"text": "The generated text has been blocked by our content filters."}]),
        ),
        told("guardrail_intervened", &json!([])),
        blocked(),
    ] {
        let before = aws.count(CONVERSE);
        aws.next(CONVERSE, [refusal, tool("Penny waves.")]);
        assert_eq!(captioner.caption(&request(1)).await.unwrap().text, "Penny waves.");
        let sent = &aws.requests_of(CONVERSE)[before..];
        assert_eq!(sent.len(), 2);
        let gentle = sent[1].json()["messages"][0]["content"][1]["text"].as_str().unwrap().to_owned();
        assert!(!gentle.contains("penguin") && gentle.contains("Penny"), "{gentle}");
    }
    aws.next(CONVERSE, [blocked(), words("I cannot help with that.")]);
    let error = captioner.caption(&request(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContentFiltered);
    assert_eq!(error.usage().requests, 1, "what was blocked before the model costs nothing");
    assert!(error.to_string().contains("record=film-1"), "{error}");
}

#[tokio::test]
async fn trouble_is_survived_and_the_secret_shows_nowhere() {
    let aws = FakeAws::start(|_, _| tool("Penny waves.")).await;
    let meter = meter();
    let captioner = captioner(&aws, Arc::clone(&meter));
    aws.next(
        CONVERSE,
        [
            Answer::error(429, "ThrottlingException", "Too many requests"),
            Answer::error(429, "ModelNotReadyException", "warming up"),
            Answer::error(408, "ModelTimeoutException", "too slow"),
            Answer::error(424, "ModelErrorException", "hiccup"),
            Answer::unavailable(),
            Answer::BreaksOff,
            Answer::malformed(),
            tool("Penny waves.").after(Duration::from_millis(200)),
        ],
    );
    assert_eq!(captioner.caption(&request(1)).await.unwrap().text, "Penny waves.");
    assert_eq!(meter.total().requests, 1, "failed attempts cost nothing");
    assert_eq!(aws.count(CONVERSE), 8);
    for (answer, kind) in [
        (Answer::error(403, "AccessDeniedException", "not you"), ErrorKind::PermissionDenied),
        (Answer::error(404, "ResourceNotFoundException", "no such model"), ErrorKind::NotFound),
        (
            Answer::error(
                404,
                "ResourceNotFoundException",
                "This model version has reached the end of its life.",
            ),
            ErrorKind::Config,
        ),
        (Answer::error(400, "ServiceQuotaExceededException", "no more"), ErrorKind::QuotaExceeded),
        (
            Answer::error(400, "ValidationException", "on-demand throughput is not supported"),
            ErrorKind::InvalidInput,
        ),
    ] {
        let before = aws.count(CONVERSE);
        aws.next(CONVERSE, [answer]);
        let error = captioner.caption(&request(1)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(aws.count(CONVERSE), before + 1, "nothing is tried again that cannot help");
        assert!(!format!("{error:?}{error}").contains(SECRET));
    }
    let lite = Bedrock::new(&aws.context(), "amazon.nova-2-lite-v1:0", meter).unwrap();
    let error = ConverseModel::new(lite, ConverseSettings::default()).unwrap_err();
    assert!(error.message().contains("us.amazon.nova-2-lite-v1:0"), "{error}");
}

/// A quota of so many requests in each window, counted at the server as the service does.
fn under_quota(a_second: f64) -> impl Fn(&Recorded, usize) -> Answer + Send + Sync {
    let bucket = Mutex::new((a_second, Instant::now()));
    move |request, _| {
        let mut bucket = bucket.lock().unwrap();
        let (tokens, last) = *bucket;
        // As the services: what was not used within a second is kept.
        let filled = (tokens + last.elapsed().as_secs_f64() * a_second).min(a_second.max(1.0));
        let enough = filled >= 1.0;
        *bucket = (if enough { filled - 1.0 } else { filled }, Instant::now());
        drop(bucket);
        if !enough {
            return Answer::error(
                429,
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
            );
        }
        let seen = request.json()["messages"][0]["content"][1]["text"].as_str().unwrap().len();
        tool(&format!("Penny waves at number {seen}.")).after(Duration::from_millis(80))
    }
}

/// 1,000 crops under 250 requests a minute, all times divided by 6: prints how long they took over what the quota
/// allows. Run alone, with `--ignored --nocapture`; the figure is for people, the test asserts only that all succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_thousand_captions_within_the_quota() {
    const SCALE: f64 = 6.0;
    let a_minute = 250.0 * SCALE;
    let aws = FakeAws::start(under_quota(a_minute / 60.0)).await;
    let quota =
        Quota { requests_a_minute: a_minute, tokens_a_minute: Some(1_000_000.0 * SCALE), concurrency: 32 };
    let bedrock =
        Bedrock::new(&aws.context(), ConverseModel::NOVA_PRO, meter()).unwrap().quota(quota).unwrap();
    let model = ConverseModel::new(bedrock, ConverseSettings::default()).unwrap();
    let captioner = VisionCaptioner::new(model, CaptionPrompt::new(&cast()));
    let mut asked = request(1);
    asked.crop = crop(1, 512, 512);
    let start = Instant::now();
    let done = stream::iter(0..1000)
        .map(|n| {
            let asked = CaptionRequest { record: format!("r{n}"), ..asked.clone() };
            let captioner = &captioner;
            async move { captioner.caption(&asked).await }
        })
        .buffer_unordered(32)
        .filter(|caption| std::future::ready(caption.is_ok()))
        .count()
        .await;
    let seconds = start.elapsed().as_secs_f64();
    let allowed = 1000.0 / (a_minute / 60.0);
    println!(
        "{done} captions in {seconds:.1} s; the quota allows them in {allowed:.1} s: {:.3} ×; {} requests arrived",
        seconds / allowed,
        aws.count(CONVERSE)
    );
    assert_eq!(done, 1000);
}

/// Answers for a picture, as varied as a model's; some bad.
fn varied(request: &Recorded, _: usize) -> Answer {
    match varied_caption(&request.json()) {
        Ok(caption) => tool(&caption),
        Err(text) => words(&text),
    }
}

/// What is said of a picture, whichever way the question comes; as the error, what is no good caption.
pub(crate) fn varied_caption(body: &Value) -> Result<String, String> {
    let content = &body["messages"][0]["content"];
    let seed = content[0]["image"]["source"]["bytes"]
        .as_str()
        .unwrap()
        .bytes()
        .fold(7_u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    let again = content[1]["text"].as_str().unwrap().contains("was not accepted");
    let pick = |list: &[&str], salt: u64| {
        list[((seed ^ (seed >> 7)) / salt % list.len() as u64) as usize].to_owned()
    };
    let verb =
        pick(&["leaps over", "peers behind", "circles", "guards", "paints", "climbs", "naps beside"], 3);
    let thing = pick(&["a mossy log", "the old gate", "a heap of leaves", "two barrels", "the well"], 11);
    let light =
        pick(&["at dusk", "in hard noon light", "under grey clouds", "by lantern", "as snow falls"], 17);
    match seed % 6 {
        0 if !again => Err("This image shows an animated character.".into()),
        1 if !again => Err("Mayu walks in a red scarf.".into()),
        _ => Ok(format!("Mayu {verb} {thing} {light}, scene {}.", seed % 1000)),
    }
}

fn job(aws: &FakeAws, store: &Arc<dyn Store>, meter: &Arc<Meter>) -> Pipeline {
    let mayu = Character {
        name: "Mayu".into(),
        description: "a girl with a red scarf".into(),
        ..Character::default()
    };
    let cast = Cast { characters: vec![mayu] };
    let model = ConverseModel::new(
        bedrock(aws, ConverseModel::NOVA_PRO, Arc::clone(meter)),
        ConverseSettings::default(),
    );
    let captioner = VisionCaptioner::new(model.unwrap(), CaptionPrompt::new(&cast));
    let cache = Arc::new(Cache::new(Arc::clone(store)));
    Pipeline::new(Arc::new(SyntheticFilm::new(30)))
        .detect(Arc::new(FakeDetector::new("Mayu")))
        .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(1.0).unwrap()))
        .caption(Arc::new(Cached::new(Arc::new(captioner), cache)))
        .lint(LintRules::for_cast(&cast))
        .store(Arc::clone(store))
}

#[tokio::test]
async fn a_stopped_run_pays_for_nothing_twice_and_ends_in_the_same_dataset() {
    let aws = FakeAws::start(varied).await;
    let whole: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let once = meter();
    job(&aws, &whole, &once).run().await.unwrap();
    let paid = aws.count(CONVERSE);
    let expected = Dataset::open(Arc::clone(&whole)).await.unwrap();
    assert!(expected.lint(&LintRules::default()).findings.iter().all(|f| !f.rule.is_strict()));
    // Every caption names the very prompt that was sent.
    let sent: BTreeSet<String> = aws
        .requests_of(CONVERSE)
        .iter()
        .map(|request| {
            let body = request.json();
            let text = |place: &str| body.pointer(place).unwrap().as_str().unwrap().to_owned();
            Prompt {
                system: text("/system/0/text"),
                user: text("/messages/0/content/1/text"),
                schema: body.pointer("/toolConfig/tools/0/toolSpec/inputSchema/json").unwrap().clone(),
            }
            .hash()
        })
        .collect();
    let mut again = 0;
    for record in expected.records().iter().filter(|r| r.is_kept()) {
        let asked = record.caption.as_ref().unwrap().asked.as_ref().unwrap();
        assert!(sent.contains(asked.prompt.as_ref().unwrap()), "{asked:?}");
        assert_eq!(asked.captioner, "bedrock");
        assert!(asked.settings.contains("converse-v1") && asked.settings.contains("prompt-v1"), "{asked:?}");
        assert_eq!(asked.attempt > 0, asked.refusal.is_some());
        again += usize::from(asked.attempt > 0);
        let page = expected.lineage(&record.id).unwrap().to_string();
        assert!(page.contains(asked.prompt.as_ref().unwrap()) && page.contains("asked by bedrock"), "{page}");
    }
    assert!(again > 0, "some captions were asked for again");
    for stop_after in [0_u32, 6, 15] {
        let aws = FakeAws::start(varied).await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        // The budget ends the run between two calls, as a disk that is full or a power cut would.
        let first =
            Arc::new(Meter::new(PriceTable::built_in()).budget(0.002 + 0.0017 * f64::from(stop_after)));
        let stopped = job(&aws, &store, &first).run().await.unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::QuotaExceeded, "{stopped}");
        let before = aws.count(CONVERSE);
        assert!(before > 0 && before < paid);
        let second = meter();
        job(&aws, &store, &second).run().await.unwrap();
        assert_eq!(aws.count(CONVERSE), paid, "stopped after {before} calls");
        let resumed = Dataset::open(store).await.unwrap();
        assert_eq!(resumed.records(), expected.records());
        assert_eq!(resumed.header().usage.requests, expected.header().usage.requests, "nothing counts twice");
        assert_eq!(first.total().requests + second.total().requests, paid as u64);
    }
}

#[tokio::test]
async fn a_batch_is_submitted_once_and_read_back_by_id() {
    let jobs = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let seen = Arc::clone(&jobs);
    let aws = FakeAws::start(move |request, n| match request.operation.as_str() {
        "POST /model-invocation-job" => {
            let token = request.json()["clientRequestToken"].as_str().unwrap().to_owned();
            *seen.lock().unwrap().entry(token).or_default() += 1;
            Answer::json(json!({"jobArn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abc"}))
        }
        _ if n == 0 => {
            Answer::json(json!({"status": "InProgress", "totalRecordCount": 120, "processedRecordCount": 7}))
        }
        _ => Answer::json(
            json!({"status": "PartiallyCompleted", "totalRecordCount": 120, "processedRecordCount": 119}),
        ),
    })
    .await;
    let model =
        ConverseModel::new(bedrock(&aws, ConverseModel::NOVA_PRO, meter()), ConverseSettings::default())
            .unwrap();
    let prompt = CaptionPrompt::new(&cast()).build(&request(1), Tone::Full);
    let picture = picchu::crop::to_jpeg(&crop(1, 64, 64).image, ConverseModel::FIT).unwrap();
    let records: Vec<BatchRecord> = (0..120)
        .map(|n| BatchRecord { id: format!("r-{n}"), input: model.batch_input(&prompt, &picture) })
        .collect();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let folder = Key::new("batch").unwrap();
    let settings = BatchSettings {
        model: ConverseModel::NOVA_PRO.into(),
        role_arn: "arn:aws:iam::123456789012:role/Bedrock".into(),
        timeout_hours: 24,
    };
    let context = aws.context();
    let batch = BatchJobs::new(&context, Arc::clone(&store), folder, settings).unwrap();
    let submit = async |records: Vec<BatchRecord>| batch.submit(&records).await;
    assert_eq!(submit(records[..99].to_vec()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(submit([&records[..], &records[..1]].concat()).await.unwrap_err().message().contains("twice"));

    let job = submit(records.clone()).await.unwrap();
    let again = submit(records.clone()).await.unwrap();
    assert_eq!(
        (job.arn(), aws.count("POST /model-invocation-job")),
        (again.arn(), 1),
        "a restart finds the job"
    );
    let sent = aws.requests_of("POST /model-invocation-job")[0].json();
    assert_eq!(sent["modelId"], ConverseModel::NOVA_PRO);
    assert_eq!(sent["inputDataConfig"]["s3InputDataConfig"]["s3InputFormat"], "JSONL");
    assert_eq!(sent["timeoutDurationInHours"], 24);

    let objects: Vec<_> = store.list(None).map(|o| o.unwrap().key.to_string()).collect().await;
    let input = objects.iter().find(|key| key.ends_with("records.jsonl")).unwrap();
    let body = store.get(&Key::new(input.as_str()).unwrap()).await.unwrap();
    let lines: Vec<Value> = body
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 120);
    assert_eq!(lines[5]["recordId"], "r-5");
    assert!(lines[5]["modelInput"].get("toolConfig").is_none(), "batch jobs take no tools");
    jpeg(&lines[5]["modelInput"]["messages"][0]["content"][0]["image"]["source"]["bytes"]);

    assert!(!job.status().await.unwrap().is_final());
    assert!(job.status().await.unwrap().is_final());
    // The answers come in another order, one with an error, one not at all, one broken.
    let mut out = String::new();
    for n in (0..118).rev() {
        let answer = json!({"output": {"message": {"role": "assistant", "content": [{"text": format!("Penny {n}.")}]}}, "stopReason": "end_turn"});
        let line = json!({"recordId": format!("r-{n}"), "modelInput": {}, "modelOutput": answer});
        out.push_str(&line.to_string());
        out.push('\n');
    }
    out += "{\"recordId\": \"r-118\", \"error\": {\"errorCode\": 400, \"errorMessage\": \"bad image\"}}\n{broken\n{\"recordId\": \"stranger\", \"modelOutput\": {}}\n";
    let folder = input.replace("input/records.jsonl", "output/abc");
    for (name, body) in
        [("records.jsonl.out", out.as_str()), ("manifest.json.out", "{\"totalRecordCount\": 120}")]
    {
        let key = Key::new(format!("{folder}/{name}")).unwrap();
        store.put(&key, Bytes::from(body.to_owned()), PutMode::Overwrite).await.unwrap();
    }
    let outcome = again.outcome().await.unwrap();
    assert_eq!(outcome.answers.len(), 118);
    assert_eq!(ConverseModel::batch_answer(&outcome.answers["r-7"]), Caption::Caption("Penny 7.".into()));
    assert_eq!(outcome.failed["r-118"], "bad image (400)");
    assert_eq!(outcome.failed["r-119"], "no answer came back");
    assert_eq!(outcome.failed.len(), 2);
    assert_eq!(jobs.lock().unwrap().values().copied().collect::<Vec<_>>(), [1]);

    // Once the outcome is taken, equal requests are another job.
    assert_eq!(batch.open().await.unwrap().len(), 1);
    again.taken(0.1).await.unwrap();
    assert!(batch.open().await.unwrap().is_empty());
    submit(records).await.unwrap();
    assert_eq!(jobs.lock().unwrap().len(), 2, "with a token of its own");
}
