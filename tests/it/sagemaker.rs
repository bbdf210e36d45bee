//! Training, serving and drawing on Amazon SageMaker over real HTTP, against a server with the service's rules: from a
//! dataset on S3 to images, and back to nothing.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;
use picchu::{
    Deployer, ErrorKind, Generator, Store, Trainer,
    aws::{
        AwsContext, S3Store,
        bedrock::{end_resource, resource_exists},
        sagemaker::{
            JobFolders, SageMakerDeployer, SageMakerGenerator, SageMakerSettings, SageMakerTrainer,
            ServingSettings, client_token, end_sagemaker_resource, job_progress, log_tail,
            sagemaker_resource_exists, sagemaker_role, tagged_sagemaker_resources, training_losses,
        },
    },
    generate::{Panel, Storyboard},
    store::{Key, MemoryStore},
    testing::conformance,
    train::{Entry, Happened, Ledger, ResourceKind},
    types::{
        CustomModel, DeploymentStatus, GenerateRequest, JobStatus, PriceTable, Severity, StepLoss,
        TrainingSpec,
    },
};
use serde_json::{Value, json};

use crate::{
    fake_aws::{Answer, FakeAws, Recorded, SECRET},
    fake_sagemaker::{Held, arn, service},
    train::ROLE,
};

const BASE: &str = "black-forest-labs/FLUX.2-klein-base-4B";

fn settings() -> SageMakerSettings {
    SageMakerSettings { role: ROLE.into(), ..SageMakerSettings::default() }
}

fn serving(role: &str) -> ServingSettings {
    ServingSettings { role: role.into(), output: "s3://bucket/board".into(), ..ServingSettings::default() }
}

fn spec() -> TrainingSpec {
    let mut spec = TrainingSpec {
        name: "Mayu: first_try".into(),
        base_model: BASE.into(),
        dataset: "s3://bucket/film".into(),
        output: "s3://bucket/model".into(),
        hyperparameters: [("steps".to_owned(), "700".to_owned())].into(),
        client_token: String::new(),
    };
    spec.client_token = client_token(&spec, &settings(), b"the metadata");
    spec
}

fn ledger() -> Ledger {
    Ledger::new(Arc::new(MemoryStore::new()))
}

fn store(context: &AwsContext, uri: &str) -> Arc<dyn Store> {
    Arc::new(S3Store::new(uri, context).unwrap())
}

fn trainer(context: &AwsContext, settings: SageMakerSettings, ledger: &Ledger) -> SageMakerTrainer {
    let (data, output) = (store(context, "s3://bucket/film"), store(context, "s3://bucket/model"));
    SageMakerTrainer::new(context, settings, data, output, ledger.clone())
}

fn deployer(context: &AwsContext, role: &str, ledger: &Ledger) -> SageMakerDeployer {
    SageMakerDeployer::new(context, serving(role), ledger.clone())
        .patience(Duration::from_millis(5), Duration::from_secs(5))
}

fn prices() -> PriceTable {
    let table = ["training", "endpoint"].map(|what| {
        format!("[[price]]\nitem = \"sagemaker/ml.g5.2xlarge/{what}\"\nunit = \"hour\"\nusd = 1.5\nsource = \"a bill\"\ndate = \"2026-11-01\"\n")
    });
    PriceTable::built_in().with(PriceTable::from_toml(&table.concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_dataset_to_images_and_back_to_nothing() {
    let (held, script) = service(6);
    let aws = FakeAws::start(script).await;
    let (context, ledger) = (aws.context(), ledger());
    let board = Storyboard::from_toml("[[panels]]\nprompt = \"Mayu waves\"\ncount = 2\n").unwrap();
    let settings = SageMakerSettings { spot: true, storyboard: Some(board), ..settings() };
    let trainer = trainer(&context, settings, &ledger).prices(prices());
    let found = trainer.check(&spec()).await.unwrap();
    assert!(found.iter().all(|f| f.severity == Severity::Note), "{found:?}");
    for words in
        ["licence apache-2.0", "at most 18.00 US dollars, for 12.0 hours at 1.50; spare capacity costs less"]
    {
        assert!(found.iter().any(|f| f.message.contains(words)), "{words}: {found:?}");
    }
    assert_eq!(aws.count("CreateTrainingJob"), 0, "looking creates nothing");
    assert!(!aws.requests().iter().any(|r| r.operation.starts_with("PUT")), "and writes nothing");

    let job = trainer.submit(&spec()).await.unwrap();
    assert_eq!(job.status, JobStatus::Pending);
    let sent = aws.requests_of("CreateTrainingJob").remove(0);
    assert!(sent.header("authorization").is_some_and(|a| a.contains("/us-east-1/sagemaker/aws4_request")));
    assert_eq!(sent.header("x-amz-target"), Some("SageMaker.CreateTrainingJob"));
    assert!(!format!("{sent:?}").contains(SECRET));
    let printed: Value = serde_json::from_str(&trainer.request(&spec()).to_json().unwrap()).unwrap();
    assert_eq!(sent.json(), printed, "what is printed is what is sent");
    let name = job.name.as_str();
    assert_eq!(
        printed["CheckpointConfig"],
        json!({"S3Uri": format!("s3://bucket/model/{name}/checkpoints/"), "LocalPath": "/opt/ml/checkpoints"})
    );
    assert_eq!(printed["StoppingCondition"]["MaxWaitTimeInSeconds"], 2 * 12 * 3600);
    is_told_of(&context, &held, &job.id).await;

    let changing = Arc::clone(&held);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(80)).await;
        changing.lock().unwrap().complete();
    });
    let seen: Vec<_> = trainer.watch(&job.id, Duration::from_millis(10)).try_collect().await.unwrap();
    let last = seen.last().unwrap();
    assert!(seen.len() > 1 && last.job.status == JobStatus::Completed, "{seen:?}");
    assert_eq!(last.loss, Some(0.125));
    assert!(last.to_string().contains("paid 90 seconds"), "{last}");
    let model = last.job.model.clone().unwrap();
    assert_eq!(model.id, format!("s3://bucket/model/{name}/output/model"));
    assert_eq!(model.base_model, BASE);
    let local = MemoryStore::new();
    let copied = trainer.download(name, &local).await.unwrap();
    assert_eq!(copied.len(), 2);
    let weights = Key::new("pytorch_lora_weights.safetensors").unwrap();
    assert_eq!(local.get(&weights).await.unwrap(), Bytes::from_static(b"weights"));

    let deployer = deployer(&context, ROLE, &ledger).prices(prices());
    assert!(deployer.check(&model).await.unwrap().is_empty());
    let serving = deployer.serve("board", &model).await.unwrap();
    let deployment = serving.deployment().unwrap().clone();
    assert_eq!((deployment.status, &deployment.model), (DeploymentStatus::InService, &model));
    let open = ledger.open().await.unwrap();
    let kinds: Vec<_> = open.iter().map(|e| e.kind).collect();
    assert_eq!(
        kinds,
        [
            ResourceKind::SageMakerScaling,
            ResourceKind::SageMakerEndpoint,
            ResourceKind::SageMakerEndpointConfig,
            ResourceKind::SageMakerModel,
            ResourceKind::SageMakerJob,
        ]
    );
    assert_eq!(open[1].usd_per_hour, Some(1.5));
    let printed = deployer.requests("board", &model);
    let sent: Vec<Value> =
        ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "RegisterScalableTarget"]
            .iter()
            .map(|operation| aws.requests_of(operation).remove(0).json())
            .chain(aws.requests_of("PutScalingPolicy").iter().map(Recorded::json))
            .collect();
    let planned: Vec<Value> = printed[..6].iter().map(|one| one.request.clone()).collect();
    assert_eq!(sent, planned, "what is printed is what is sent");
    assert_eq!(sent[3]["MinCapacity"], 0);
    assert!(aws.requests_of("PutMetricAlarm")[0].header("authorization").unwrap().contains("/monitoring/"));
    draw(&aws, &deployment.id).await;

    // The guard goes where the runtime is blocked, as it is in a panic.
    tokio::task::spawn_blocking(move || drop(serving)).await.unwrap();
    assert!(held.lock().unwrap().is_empty(), "{held:?}");
    let open = ledger.open().await.unwrap();
    assert_eq!(open.iter().map(|e| e.kind).collect::<Vec<_>>(), [ResourceKind::SageMakerJob]);
    assert!(
        !sagemaker_resource_exists(&context, &open[0]).await.unwrap(),
        "a job that is done bills nothing"
    );
}

/// What the job is given, and what it tells while it runs.
async fn is_told_of(context: &AwsContext, held: &Mutex<Held>, job: &str) {
    let name = job.rsplit('/').next().unwrap();
    {
        let mut held = held.lock().unwrap();
        let file = |file: &str| held.objects[&format!("bucket/model/{name}/program/{file}")].clone();
        let settings: Value = serde_json::from_slice(&file("settings.json")).unwrap();
        assert_eq!((&settings["steps"], &settings["dataset"]), (&json!(700), &json!("input/data/dataset")));
        assert_eq!((&settings["licence"], &settings["base_model"]), (&json!("apache-2.0"), &json!(BASE)));
        let drawing: Value = serde_json::from_slice(&file("draw.json")).unwrap();
        assert_eq!(drawing["panels"][1]["seed"], 1);
        assert!(!file("start.sh").is_empty() && !file("picchu_training/__main__.py").is_empty());
        let live = format!("bucket/model/{name}/checkpoints/run");
        let status = json!({"state": "running", "doing": "training", "step": 2, "steps": 700, "loss": 0.25});
        held.objects.insert(format!("{live}/status.json"), status.to_string().into());
        let metrics = "{\"step\": 1, \"loss\": 0.5}\n{\"step\": 2, \"loss\": 0.25}\n{\"step\": 2, \"fi";
        held.objects.insert(format!("{live}/metrics.jsonl"), metrics.into());
        held.jobs.get_mut(name).unwrap().secondary = "Training";
    }
    let progress = job_progress(context, job).await.unwrap();
    assert_eq!(
        (progress.job.status, progress.steps, progress.loss),
        (JobStatus::InProgress, Some((2, 700)), Some(0.25))
    );
    let losses = training_losses(context, name).await.unwrap();
    assert_eq!(losses, [StepLoss { step: 1, loss: 0.5 }, StepLoss { step: 2, loss: 0.25 }]);
    assert_eq!(log_tail(context, name, 5).await.unwrap(), ["{\"step\": 7, \"loss\": 0.5}"]);
}

async fn draw(aws: &FakeAws, endpoint: &str) {
    let artist =
        SageMakerGenerator::new(&aws.context(), endpoint, store(&aws.context(), "s3://bucket/board"))
            .patience(Duration::from_millis(5), Duration::from_millis(200));
    let panel = |prompt: &str, count| Panel { prompt: prompt.into(), seed: None, count };
    let board = Storyboard {
        panels: vec![panel("Mayu waves", 2), panel("too large", 1), panel("Mayu sleeps", 1)],
        negative_prompt: None,
        width: 768,
        height: 768,
    };
    let kept: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let drawn = board.draw(&artist, &kept).await.unwrap();
    let images: Vec<usize> = drawn.iter().map(|panel| panel.images.len()).collect();
    assert_eq!(images, [2, 0, 1]);
    assert!(drawn[1].failure.as_ref().unwrap().contains("CUDA out of memory"), "{drawn:?}");
    let request = GenerateRequest {
        prompt: "Mayu waves".into(),
        negative_prompt: Some("fog".into()),
        count: 2,
        seed: 7,
        width: 768,
        height: 512,
    };
    let images = artist.generate(&request).await.unwrap();
    assert_eq!(images.iter().map(|i| i.request.seed).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(images[1].image.get_pixel(0, 0)[0], 8, "each image is that of its own seed");
    let never = GenerateRequest { prompt: "never".into(), ..request.clone() };
    assert_eq!(artist.generate(&never).await.unwrap_err().kind(), ErrorKind::Timeout);
    let sent = aws.requests().len();
    for wrong in [
        GenerateRequest { prompt: " ".into(), ..request.clone() },
        GenerateRequest { width: 5000, ..request.clone() },
        GenerateRequest { seed: u64::MAX, ..request.clone() },
    ] {
        assert_eq!(artist.generate(&wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong:?}");
    }
    assert_eq!(aws.requests().len(), sent, "what cannot be drawn is not asked");
    let elsewhere =
        SageMakerGenerator::new(&aws.context(), endpoint, store(&aws.context(), "s3://bucket/else"));
    let error = elsewhere.generate(&request).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.message().contains("not below"), "{error}");
    let nobody =
        SageMakerGenerator::new(&aws.context(), "nobody", store(&aws.context(), "s3://bucket/board"));
    assert_eq!(nobody.generate(&request).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_what_would_fail_all_at_once() {
    let (held, script) = service(4);
    let aws = FakeAws::start(script).await;
    let (context, ledger) = (aws.context(), ledger());
    {
        let mut held = held.lock().unwrap();
        held.objects.insert("bucket/film/1.png".into(), "no image".into());
        held.objects.remove("bucket/film/2.png");
        held.quotas.insert("ml.g5.2xlarge for spot training job usage".into(), 0.0);
        let mark = json!({"format": "diffusers", "picchu": "0.1.0", "pictures": 4, "unreviewed": 2});
        held.objects.insert("bucket/film/.picchu-export.json".into(), mark.to_string().into());
    }
    let mut spec = TrainingSpec { base_model: "s3://bucket/klein".into(), ..spec() };
    spec.hyperparameters.insert("rank".into(), "0".into());
    let settings = SageMakerSettings {
        role: "tune".into(),
        spot: true,
        isolated: true,
        max_wait: Some(Duration::from_mins(1)),
        retries: Some(31),
        subnets: vec!["subnet-1".into()],
        ..SageMakerSettings::default()
    };
    let trainer = trainer(&context, settings, &ledger);
    let found = trainer.check(&spec).await.unwrap();
    let errors: Vec<&str> =
        found.iter().filter(|f| f.severity == Severity::Error).map(|f| f.message.as_str()).collect();
    for words in [
        "rank is \"0\"",
        "\"tune\" is not the ARN of a role",
        "wait and run 60 seconds",
        "started again too often",
        "a network needs",
        "cannot fetch its packages",
        "quota \"ml.g5.2xlarge for spot training job usage\" is 0",
        "nothing is in s3://bucket/klein",
        "2 of 4 images were not looked at",
        "2.png is not there",
        "bucket/film/1.png",
    ] {
        assert_eq!(errors.iter().filter(|e| e.contains(words)).count(), 1, "{words}: {errors:?}");
    }
    assert_eq!(errors.len(), 11, "{errors:?}");
    assert!(found.iter().any(|f| f.message.contains("what that costs is not known")), "{found:?}");
    assert_eq!(trainer.submit(&spec).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(aws.count("CreateTrainingJob"), 0);
    assert!(ledger.entries().await.unwrap().is_empty());

    held.lock().unwrap().objects.remove("bucket/film/metadata.jsonl");
    let found = trainer.check(&spec).await.unwrap();
    assert!(found.iter().any(|f| f.message == "s3://bucket/film/metadata.jsonl does not exist"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_looked_at_as_far_as_they_can_be_read() {
    let (held, script) = service(2);
    let aws = FakeAws::start(script).await;
    let context = aws.context();
    let found = async |instances: &[&str]| {
        let instances = instances.iter().map(|&one| one.to_owned()).collect();
        let trainer = trainer(&context, SageMakerSettings { instances, ..settings() }, &ledger());
        let found = trainer.check(&spec()).await.unwrap();
        found.into_iter().find(|f| f.message.contains("quota") || f.message.contains("may have"))
    };
    assert_eq!(found(&["ml.g5.2xlarge"]).await, None);
    assert_eq!(aws.count("ListServiceQuotas"), 1, "no further than needed");
    held.lock().unwrap().quotas.insert("ml.g5.2xlarge for training job usage".into(), 0.0);
    assert_eq!(found(&["ml.g5.2xlarge"]).await.unwrap().severity, Severity::Error);
    assert_eq!(found(&["ml.g5.2xlarge", "ml.g6.2xlarge"]).await.unwrap().severity, Severity::Note);
    let unknown = found(&["ml.p9.large"]).await.unwrap();
    assert!(
        unknown.severity == Severity::Warning && unknown.message.contains("there is no quota"),
        "{unknown:?}"
    );
    aws.next("ListServiceQuotas", [Answer::error(400, "AccessDeniedException", "no")]);
    let unread = found(&["ml.g5.2xlarge"]).await.unwrap();
    assert!(unread.severity == Severity::Note && unread.message.contains("could not be read"), "{unread:?}");

    // Where nobody looked, the service says it, and nothing is left open.
    let ledger = ledger();
    let error = trainer(&context, settings(), &ledger).submit(&spec()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
    assert!(ledger.open().await.unwrap().is_empty());
}

/// A run from nothing to an endpoint, and back.
#[derive(Clone)]
struct Life {
    context: AwsContext,
    held: Arc<Mutex<Held>>,
    ledger: Ledger,
}

impl Life {
    async fn work(&self) {
        let folders =
            JobFolders { dataset: "s3://bucket/film", output: "s3://bucket/model", ..JobFolders::default() };
        let role = sagemaker_role(&self.context, &folders).await.unwrap();
        role.ensure(&self.ledger).await.unwrap();
        let settings = SageMakerSettings { role: role.arn().into(), ..SageMakerSettings::default() };
        let trainer = trainer(&self.context, settings, &self.ledger);
        let job = trainer.submit(&spec()).await.unwrap();
        self.held.lock().unwrap().complete();
        let model = trainer.describe(&job.id).await.unwrap().model.unwrap();
        let deployer = deployer(&self.context, role.arn(), &self.ledger);
        let deployment = deployer.deploy("board", &model).await.unwrap();
        deployer.wait(&deployment.id).await.unwrap();
    }

    /// As `picchu clean` does it.
    async fn clean(&self) {
        for entry in self.ledger.open().await.unwrap() {
            end(&self.context, &entry).await;
            self.ledger.note(&entry.now(Happened::Ended)).await.unwrap();
        }
    }
}

async fn end(context: &AwsContext, entry: &Entry) {
    let poll = Duration::from_millis(5);
    if entry.kind == ResourceKind::Role {
        end_resource(context, entry, poll).await.unwrap();
        assert!(!resource_exists(context, entry).await.unwrap());
    } else {
        end_sagemaker_resource(context, entry, poll).await.unwrap();
        assert!(!sagemaker_resource_exists(context, entry).await.unwrap(), "{entry:?}");
    }
}

/// A process that dies after each call that the service has heard, and a second run: one role, one job, one endpoint with
/// what belongs to it, and in the end none.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_off_at_any_call_starts_nothing_twice_and_leaves_nothing() {
    let creations =
        ["CreateRole", "CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"];
    let (mut cut, mut cut_creations) = (0, 0);
    loop {
        let (held, script) = service(2);
        let calls = AtomicUsize::new(0);
        let slow = move |request: &Recorded, nth: usize| {
            let answer = script(request, nth);
            // The program's files are many, and equal in this.
            let file = request.operation.starts_with("PUT") && !request.operation.ends_with("/start.sh");
            // The service did it, and the answer comes too late.
            let this = !file && calls.fetch_add(1, Ordering::SeqCst) == cut;
            if this { answer.after(Duration::from_mins(1)) } else { answer }
        };
        let aws = FakeAws::start(slow).await;
        let life = Life { context: aws.context(), held: Arc::clone(&held), ledger: ledger() };
        let served = Arc::new(AtomicBool::new(false));
        let first = tokio::spawn({
            let (life, served) = (life.clone(), Arc::clone(&served));
            async move {
                life.work().await;
                served.store(true, Ordering::SeqCst);
                life.clean().await;
            }
        });
        let heard = |aws: &FakeAws| {
            let counts =
                |r: &&Recorded| !r.operation.starts_with("PUT") || r.operation.ends_with("/start.sh");
            aws.requests().iter().filter(counts).count()
        };
        while heard(&aws) <= cut && !first.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if first.is_finished() {
            first.await.unwrap();
            break;
        }
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let call = aws.requests().pop().unwrap().operation;
        cut_creations += usize::from(creations.contains(&call.as_str()));
        if !served.load(Ordering::SeqCst) {
            life.work().await;
            {
                let held = held.lock().unwrap();
                let all = [
                    held.roles(),
                    held.jobs.len(),
                    held.models.len(),
                    held.configs.len(),
                    held.endpoints.len(),
                    held.targets.len(),
                    held.alarms.len(),
                ];
                assert_eq!(all, [1; 7], "{cut}: {call}");
                assert_eq!(held.targets.values().next().unwrap().len(), 2, "two policies");
            }
            let open = life.ledger.open().await.unwrap();
            let created = open.iter().all(|e| e.happened == Happened::Created);
            assert!(open.len() == 6 && created, "{cut}: {call}: {open:?}");
        }
        life.clean().await;
        for creation in creations {
            assert_eq!(aws.count(creation), 1, "{cut}: {call}: {creation}");
        }
        assert!(held.lock().unwrap().is_empty(), "{cut}: {call}: {held:?}");
        cut += 1;
    }
    assert!(cut_creations == creations.len() && cut >= 30, "{cut} calls, {cut_creations} of them create");
}

/// The attempt was heard and its answer lost: the next attempt is told that the name is taken, and finds the job.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_makes_no_second_job() {
    let (held, script) = service(2);
    let lost = AtomicUsize::new(0);
    let losing = move |request: &Recorded, nth: usize| {
        let answer = script(request, nth);
        let creates = ["CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"];
        if creates.contains(&request.operation.as_str()) && nth == 0 {
            lost.fetch_add(1, Ordering::SeqCst);
            return Answer::BreaksOff;
        }
        answer
    };
    let aws = FakeAws::start(losing).await;
    let life = Life { context: aws.context(), held: Arc::clone(&held), ledger: ledger() };
    life.work().await;
    assert_eq!(aws.count("CreateTrainingJob"), 2);
    {
        let held = held.lock().unwrap();
        assert_eq!((held.jobs.len(), held.endpoints.len()), (1, 1));
    }
    life.clean().await;
    assert!(held.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_come_with_their_mend_and_interrupted_jobs_go_on() {
    let (held, script) = service(2);
    let aws = FakeAws::start(script).await;
    let (context, ledger) = (aws.context(), ledger());
    let trainer = trainer(&context, settings(), &ledger);
    let job = trainer.submit(&spec()).await.unwrap();
    let set = |status, secondary, reason| {
        let mut held = held.lock().unwrap();
        let job = held.jobs.get_mut(&job.name).unwrap();
        (job.status, job.secondary, job.reason) = (status, secondary, reason);
    };
    for (status, secondary, reason, state, words) in [
        (
            "Failed",
            "Failed",
            Some("CapacityError: Unable to provision requested ML compute capacity."),
            JobStatus::Failed,
            "[no such machine is free",
        ),
        (
            "Failed",
            "Failed",
            Some("AlgorithmError: out_of_memory: CUDA out of memory, exit code: 1"),
            JobStatus::Failed,
            "[take a machine with more memory",
        ),
        (
            "Failed",
            "Failed",
            Some("AlgorithmError: bad_input: metadata.jsonl, line 3"),
            JobStatus::Failed,
            "[mend the dataset",
        ),
        ("Stopped", "MaxRuntimeExceeded", None, JobStatus::Stopped, "[allow more with --max-hours"),
        ("Stopped", "MaxWaitTimeExceeded", None, JobStatus::Stopped, "[no spare capacity was there"),
    ] {
        set(status, secondary, reason);
        let seen = trainer.describe(&job.id).await.unwrap();
        assert_eq!(seen.status, state);
        assert!(seen.failure.as_ref().unwrap().contains(words), "{words}: {seen:?}");
        assert_eq!(seen.model, None, "there is no model");
    }
    let told = trainer.download(&job.name, &MemoryStore::new()).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::NotFound);

    // Spare capacity that is taken back is no failure.
    held.lock().unwrap().jobs.get_mut(&job.name).unwrap().interruptions = 1;
    set("InProgress", "Interrupted", None);
    let seen = job_progress(&context, &job.name).await.unwrap();
    assert_eq!((seen.job.status, seen.job.failure.clone()), (JobStatus::InProgress, None));
    assert!(seen.to_string().contains("interrupted 2 times"), "{seen}");
    trainer.cancel(&job.id).await.unwrap();
    trainer.cancel(&job.id).await.unwrap();
    let watched: Vec<_> = trainer.watch(&job.id, Duration::from_millis(5)).try_collect().await.unwrap();
    assert_eq!(watched.last().unwrap().job.status, JobStatus::Stopped);
    trainer.cancel(&job.id).await.expect("a job at its end");

    // A role that is too new is waited for, where it was made with the job.
    held.lock().unwrap().role_is_new = 1;
    let other = TrainingSpec { client_token: "another".into(), ..spec() };
    let refused = trainer.submit(&other).await.unwrap_err();
    assert!(refused.to_string().contains("ould not assume role"), "{refused}");
    held.lock().unwrap().role_is_new = 1;
    assert_eq!(trainer.role_is_new(true).submit(&other).await.unwrap().status, JobStatus::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_are_stuck_or_fail_are_told_apart_and_go() {
    let (held, script) = service(2);
    let aws = FakeAws::start(script).await;
    let (context, ledger) = (aws.context(), ledger());
    let model = CustomModel { id: "s3://bucket/model/job/output/model".into(), base_model: BASE.into() };
    let deployer = SageMakerDeployer::new(&context, serving(ROLE), ledger.clone())
        .patience(Duration::from_millis(5), Duration::from_millis(60));
    let deployment = deployer.deploy("stuck", &model).await.unwrap();
    let name = deployment.id.rsplit('/').next().unwrap().to_owned();
    let set = |status: &str, reason: Option<&str>| {
        let mut held = held.lock().unwrap();
        held.endpoints.insert(name.clone(), status.into());
        held.reason = reason.map(str::to_owned);
    };
    for (status, reason, kind, words) in [
        ("Updating", None, ErrorKind::Timeout, "is Updating for too long"),
        ("SomethingNew", None, ErrorKind::Timeout, "is SomethingNew for too long"),
        ("OutOfService", None, ErrorKind::Unavailable, "it is OutOfService"),
        ("UpdateRollbackFailed", None, ErrorKind::Unavailable, "it is UpdateRollbackFailed"),
        (
            "Failed",
            Some("The primary container for production variant all did not pass the ping health check."),
            ErrorKind::Unavailable,
            "[its log in CloudWatch",
        ),
        (
            "Failed",
            Some("Unable to provision ML compute capacity"),
            ErrorKind::Unavailable,
            "[no such machine is free",
        ),
    ] {
        set(status, reason);
        let error = deployer.wait(&deployment.id).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, kind == ErrorKind::Timeout), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(deployer.describe(&deployment.id).await.unwrap().status, DeploymentStatus::Failed);
    assert!(held.lock().unwrap().targets.is_empty(), "what does not serve is not scaled");

    // One that is being made can only go when it is made.
    set("Creating", None);
    deployer.delete(&deployment.id).await.unwrap();
    assert!(held.lock().unwrap().is_empty() && ledger.open().await.unwrap().is_empty());
    assert!(aws.count("DeleteEndpoint") >= 1);

    // A guard whose wait fails ends what it began.
    aws.next("CreateEndpoint", [Answer::error(400, "ResourceLimitExceeded", "0 instances")]);
    let error = deployer.serve("board", &model).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
    assert!(held.lock().unwrap().is_empty(), "{held:?}");
    assert!(ledger.open().await.unwrap().is_empty());

    for (wrong, words) in [
        (CustomModel { id: "arn:model".into(), ..model.clone() }, "no folder on S3 with a model"),
        (CustomModel { base_model: String::new(), ..model.clone() }, "which model it was made from"),
    ] {
        let error = deployer.deploy("board", &wrong).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(words), "{error}");
    }
    let isolated = ServingSettings { isolated: true, subnets: vec!["subnet-1".into()], ..serving("tune") };
    let found = SageMakerDeployer::new(&context, isolated, ledger).check(&model).await.unwrap();
    assert_eq!(found.iter().filter(|f| f.severity == Severity::Error).count(), 3, "{found:?}");
}

/// A ledger that is lost: the tag finds what was made, and nothing of others.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_ledger_knows_is_found_by_its_tag() {
    let (held, script) = service(2);
    let aws = FakeAws::start(script).await;
    let context = aws.context();
    let life = Life { context: context.clone(), held: Arc::clone(&held), ledger: ledger() };
    life.work().await;
    let at_work = TrainingSpec { client_token: "another".into(), ..spec() };
    trainer(&context, settings(), &ledger()).submit(&at_work).await.unwrap();
    {
        let mut held = held.lock().unwrap();
        held.models.insert("others".into(), json!({}));
        held.tags.insert(arn("model", "others"), json!([{"Key": "created-by", "Value": "others"}]));
        held.endpoints.insert("others".into(), "InService".into());
    }
    let tagged = tagged_sagemaker_resources(&context).await;
    assert_eq!(tagged.unread, [""; 0]);
    let kinds: Vec<_> = tagged.found.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [
            ResourceKind::SageMakerScaling,
            ResourceKind::SageMakerEndpoint,
            ResourceKind::SageMakerEndpointConfig,
            ResourceKind::SageMakerModel,
            ResourceKind::SageMakerJob
        ]
    );
    assert_eq!(tagged.found[1].time_ms, 1_795_521_600_500);
    for entry in &tagged.found {
        end(&context, entry).await;
    }
    {
        let held = held.lock().unwrap();
        assert_eq!((held.models.len(), held.endpoints.len(), held.configs.len()), (1, 1, 0));
        assert!(held.jobs.values().all(|job| job.status != "InProgress"));
    }
    aws.next("ListModels", [Answer::error(400, "AccessDeniedException", "no")]);
    let tagged = tagged_sagemaker_resources(&context).await;
    assert!(tagged.found.is_empty() && tagged.unread.len() == 1, "{tagged:?}");
    assert!(tagged.unread[0].contains("sagemaker ListModels"), "{tagged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_traits_contracts_are_kept() {
    let (held, script) = service(2);
    let aws = FakeAws::start(script).await;
    let (context, ledger) = (aws.context(), ledger());
    conformance::trainer(&trainer(&context, settings(), &ledger), &spec()).await;
    let model = CustomModel { id: "s3://bucket/model/job/output/model".into(), base_model: BASE.into() };
    conformance::deployer(&deployer(&context, ROLE, &ledger), &model).await;
    assert!(held.lock().unwrap().is_empty(), "{held:?}");
    let deployer = deployer(&context, ROLE, &ledger);
    let deployment = deployer.deploy("artist", &model).await.unwrap();
    let deployment = deployer.wait(&deployment.id).await.unwrap();
    let board = store(&context, "s3://bucket/board");
    conformance::generator(&SageMakerGenerator::new(&context, &deployment.id, board)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_and_packages_from_s3_reach_jobs_and_endpoints_without_a_network() {
    let (held, script) = service(2);
    let aws = FakeAws::start(script).await;
    let (context, ledger) = (aws.context(), ledger());
    for file in ["klein/model_index.json", "wheels/diffusers.whl"] {
        held.lock().unwrap().objects.insert(format!("bucket/{file}"), "x".into());
    }
    let settings = SageMakerSettings {
        isolated: true,
        wheels: Some("s3://bucket/wheels".into()),
        instances: vec!["ml.g5.2xlarge".into(), "ml.g6.2xlarge".into()],
        kms_key: Some("alias/mine".into()),
        subnets: vec!["subnet-1".into()],
        security_groups: vec!["sg-1".into()],
        ..settings()
    };
    let trainer = trainer(&context, settings, &ledger);
    let spec = TrainingSpec { base_model: "s3://bucket/klein".into(), ..spec() };
    let found = trainer.check(&spec).await.unwrap();
    assert!(found.iter().all(|f| f.severity == Severity::Note), "{found:?}");
    let job = trainer.submit(&spec).await.unwrap();
    let sent = aws.requests_of("CreateTrainingJob").remove(0).json();
    let channels: Vec<_> =
        sent["InputDataConfig"].as_array().unwrap().iter().map(|c| c["ChannelName"].clone()).collect();
    assert_eq!(channels, ["program", "dataset", "model", "wheels"]);
    assert_eq!(sent["EnableNetworkIsolation"], true);
    assert_eq!(sent["ResourceConfig"]["InstancePreferences"][1]["InstanceType"], "ml.g6.2xlarge");
    assert_eq!(sent["VpcConfig"], json!({"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}));
    let key = format!("bucket/model/{}/program/settings.json", job.name);
    let told: Value = serde_json::from_slice(&held.lock().unwrap().objects[&key]).unwrap();
    assert_eq!(told["base_model"], "input/data/model");

    held.lock().unwrap().complete();
    let model = trainer.describe(&job.id).await.unwrap().model.unwrap();
    let serving = ServingSettings { isolated: true, ..serving(ROLE) };
    let deployer = SageMakerDeployer::new(&context, serving, ledger);
    deployer.deploy("board", &model).await.unwrap();
    let sent = aws.requests_of("CreateModel").remove(0).json();
    let container = &sent["PrimaryContainer"];
    assert_eq!(container["AdditionalModelDataSources"][0]["S3DataSource"]["S3Uri"], "s3://bucket/klein/");
    assert_eq!(container["Environment"]["PIP_NO_INDEX"], "1");
    let drawing: Value =
        serde_json::from_str(container["Environment"]["PICCHU_DRAWING"].as_str().unwrap()).unwrap();
    assert_eq!(drawing["base_model"], "/opt/ml/additional-model-data-sources/base");
}

#[test]
fn what_makes_another_model_makes_another_job() {
    let one = spec();
    let token = |spec: &TrainingSpec, settings: &SageMakerSettings, metadata: &[u8]| {
        client_token(spec, settings, metadata)
    };
    let first = token(&one, &settings(), b"1");
    assert_eq!(
        first,
        token(&one, &SageMakerSettings { spot: true, ..settings() }, b"1"),
        "the machine is no part of it"
    );
    let board = Storyboard::from_toml("[[panels]]\nprompt = \"Mayu\"\n").unwrap();
    let others = [
        token(&one, &settings(), b"2"),
        token(&one, &SageMakerSettings { storyboard: Some(board), ..settings() }, b"1"),
        token(&one, &SageMakerSettings { revision: "v2".into(), ..settings() }, b"1"),
        token(&TrainingSpec { base_model: "other/model".into(), ..one.clone() }, &settings(), b"1"),
    ];
    for other in others {
        assert_ne!(first, other);
    }
}
