//! How jobs are run in an account.

use std::{collections::BTreeMap, time::Duration};

use super::request::{Tag, Vpc, tags};
use crate::generate::Storyboard;

/// How jobs are run in an account, and what for money.
///
/// ```
/// use picchu::aws::sagemaker::SageMakerSettings;
/// let settings = SageMakerSettings { spot: true, ..SageMakerSettings::default() };
/// assert_eq!(settings.instances, ["ml.g5.2xlarge"]);
/// assert_eq!(settings.max_wait().as_secs(), 2 * 12 * 60 * 60);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SageMakerSettings {
    /// ARN of the role that SageMaker takes on to read the dataset and to write results.
    pub role: String,
    /// The container; that of Hugging Face in the Region unless given.
    pub image: Option<String>,
    /// Types of machines that will do, the preferred first; up to five, and with `spot` the first alone.
    pub instances: Vec<String>,
    /// The machine's disk, in GiB: the base model, the dataset and checkpoints lie there.
    pub volume_gib: u32,
    /// Whether spare capacity is used: it costs less, may have to be waited for, and may be taken away in the middle; the
    /// job goes on from its last checkpoint then.
    pub spot: bool,
    /// The longest that a job may run. Its price cannot pass this.
    pub max_runtime: Duration,
    /// The longest that a job may run and wait for spare capacity; twice `max_runtime` unless given.
    pub max_wait: Option<Duration>,
    /// How often SageMaker starts a job again after an error of its own; never unless given.
    pub retries: Option<u32>,
    /// Whether the container is cut off from every network. The base model and the `wheels` come from S3 then.
    pub isolated: bool,
    /// A folder on S3 with the Python packages that the program needs, as wheels; from the internet unless given.
    pub wheels: Option<String>,
    /// Licence of the base model, as the user knows it; empty where it is to be looked up.
    pub licence: String,
    /// Branch, tag or commit of a base model from the hub; empty for the newest.
    pub revision: String,
    /// What sample images show while it trains.
    pub sample_prompts: Vec<String>,
    /// Panels that the job draws with its model, so that no endpoint is needed.
    pub storyboard: Option<Storyboard>,
    /// Key that results and disks are encrypted with.
    pub kms_key: Option<String>,
    /// Subnets of the network that the job runs in; none for SageMaker's own.
    pub subnets: Vec<String>,
    /// Security groups in that network.
    pub security_groups: Vec<String>,
    /// Tags, besides `created-by`.
    pub tags: BTreeMap<String, String>,
}

impl Default for SageMakerSettings {
    fn default() -> Self {
        Self {
            role: String::new(),
            image: None,
            instances: vec!["ml.g5.2xlarge".into()],
            volume_gib: 100,
            spot: false,
            max_runtime: Duration::from_hours(12),
            max_wait: None,
            retries: None,
            isolated: false,
            wheels: None,
            licence: String::new(),
            revision: String::new(),
            sample_prompts: Vec::new(),
            storyboard: None,
            kms_key: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            tags: BTreeMap::new(),
        }
    }
}

impl SageMakerSettings {
    /// The longest that a job may run and wait for spare capacity.
    pub fn max_wait(&self) -> Duration {
        self.max_wait.unwrap_or(self.max_runtime * 2)
    }

    pub(super) fn vpc(&self) -> Option<Vpc> {
        vpc(&self.subnets, &self.security_groups)
    }

    pub(super) fn tags(&self) -> Vec<Tag> {
        tags(&self.tags)
    }
}

pub(super) fn vpc(subnets: &[String], security_groups: &[String]) -> Option<Vpc> {
    (!subnets.is_empty())
        .then(|| Vpc { security_group_ids: security_groups.to_vec(), subnets: subnets.to_vec() })
}
